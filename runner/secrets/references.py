"""References: what stands for a secret value wherever it is stored or sent.

A secret travels as ``{"$secret": "sec_4k0q…"}``, a part of one as ``{"$secret": "sec_4k0q…#/name"}``; the form is
`runner.graph.references`'. Objects of this form are reserved: a plain value of the same form is taken for a reference.
Here references are found in JSON values and exchanged. Pure: values come in, new values go out, nothing is changed in
place.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runner.graph.references import ABSENT, is_secret_reference

REFERENCE_BYTES = 16
_FORM = re.compile(r"sec_[0-9a-hjkmnp-tv-z]{26}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

_SCALARS = frozenset({str, int, float, bool})  # Told by a look, where asking for a mapping takes ten times as long.

Path = tuple[str | int, ...]
"""Where a part of a JSON value is: keys and indices from the outermost inwards; ``()`` is the whole."""


def reference_from(random: bytes) -> str:
    """The reference made of 16 random bytes: ``sec_`` and 26 letters and digits. It says nothing of the value."""
    number = int.from_bytes(random, "big")
    return "sec_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_well_formed(reference: str) -> bool:
    """Whether a text is a reference that this store could have made."""
    return _FORM.fullmatch(reference) is not None


def find_references(value: Any, path: Path = ()) -> dict[Path, str]:
    """Every reference in a JSON value by its place, in the order they stand; parts of secrets with their fragment."""
    if value is None or type(value) in _SCALARS:
        return {}
    if is_secret_reference(value):
        return {path: value["$secret"]}
    found: dict[Path, str] = {}
    for key, part in _parts(value):
        found.update(find_references(part, (*path, key)))
    return found


def names_with_references(values: Mapping[str, Any]) -> frozenset[str]:
    """The names whose value is a reference or holds one, at any depth."""
    return frozenset(name for name, value in values.items() if find_references(value))


def part_at(value: Any, path: Path) -> Any:
    """The part of a JSON value at a place.

    Raises:
        KeyError: There is no such place.
    """
    for depth, key in enumerate(path):
        parts = dict(_parts(value))
        if key not in parts:
            raise KeyError(path[: depth + 1])
        value = parts[key]
    return value


def replace(value: Any, parts: Mapping[Path, Any]) -> Any:
    """A copy of a JSON value with other parts at some places; places that do not exist are left out.

    When one place lies inside another, the outer one's part stands. A part that is `ABSENT` removes the name from its
    object; in an array, whose order counts, it leaves null.
    """
    return _replace(value, {tuple(path): part for path, part in parts.items()}, ())


def _replace(value: Any, parts: Mapping[Path, Any], path: Path) -> Any:
    if path in parts:
        return parts[path]
    if isinstance(value, Mapping):
        inner = {key: _replace(part, parts, (*path, key)) for key, part in value.items()}
        return {key: part for key, part in inner.items() if part is not ABSENT}
    if isinstance(value, list | tuple):
        items = [_replace(part, parts, (*path, index)) for index, part in enumerate(value)]
        return [None if item is ABSENT else item for item in items]
    return value


def substitute(value: Any, secrets: Mapping[str, Any]) -> Any:
    """A copy of a JSON value with each reference replaced by its secret; what a secret holds is not looked into.

    Raises:
        KeyError: A reference is not among ``secrets``.
    """
    return replace(value, {path: secrets[reference] for path, reference in find_references(value).items()})


def outermost(paths: Iterable[Path]) -> list[Path]:
    """The places that lie in no other one of them, sorted; each once."""
    kept = {tuple(path) for path in paths}
    inner = {path for path in kept if any(path[:depth] in kept for depth in range(len(path)))}
    return sorted(kept - inner, key=lambda path: [(isinstance(key, str), key) for key in path])


def _parts(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    return []
