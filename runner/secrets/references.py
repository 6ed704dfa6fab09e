"""References: what stands for a secret value wherever it is stored or sent.

A secret travels as ``{"$secret": "sec_4k0q…"}``: an object with that one key and a text. Objects of this form are
reserved; a plain value of the same form is taken for a reference. Pure: values come in, new values go out, nothing is
changed in place.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MARK = "$secret"
REFERENCE_BYTES = 16
_FORM = re.compile(r"sec_[0-9a-hjkmnp-tv-z]{26}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

Path = tuple[str | int, ...]
"""Where a part of a JSON value is: keys and indices from the outermost inwards; ``()`` is the whole."""


def reference_from(random: bytes) -> str:
    """The reference made of 16 random bytes: ``sec_`` and 26 letters and digits. It says nothing of the value."""
    number = int.from_bytes(random, "big")
    return "sec_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_well_formed(reference: str) -> bool:
    """Whether a text is a reference that this store could have made."""
    return _FORM.fullmatch(reference) is not None


def wrapped(reference: str) -> dict[str, str]:
    """The JSON value that stands for the secret."""
    return {MARK: reference}


def reference_of(value: Any) -> str | None:
    """The reference, when the JSON value is one, else None."""
    if isinstance(value, Mapping) and len(value) == 1:
        reference = value.get(MARK)
        return reference if isinstance(reference, str) else None
    return None


def is_reference(value: Any) -> bool:
    """Whether a JSON value is ``{"$secret": "…"}``."""
    return reference_of(value) is not None


def find_references(value: Any, path: Path = ()) -> dict[Path, str]:
    """Every reference in a JSON value by its place, outermost and first ones first."""
    reference = reference_of(value)
    if reference is not None:
        return {path: reference}
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

    When one place lies inside another, the outer one's part stands.
    """
    return _replace(value, {tuple(path): part for path, part in parts.items()}, ())


def _replace(value: Any, parts: Mapping[Path, Any], path: Path) -> Any:
    if path in parts:
        return parts[path]
    if isinstance(value, Mapping):
        return {key: _replace(part, parts, (*path, key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(part, parts, (*path, index)) for index, part in enumerate(value)]
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
