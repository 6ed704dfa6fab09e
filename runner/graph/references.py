"""What an input's source stands for at run time.

A source such as ``dns.record.name`` is read in this order:

1. The whole string is a key of the input: that value, whatever else it could mean.
2. The first segment is the id of an activity: that activity's outputs, nothing else.
3. Otherwise the first segment is a key of the input.

Further segments go into objects by key and into arrays by number, from 0. What is not there is `ABSENT`, which is not
null: a JSON null is a value like any other.

A secret travels as ``{"$secret": "<reference>"}``. It passes through untouched. A segment that goes *into* a secret
cannot be followed without the key: the answer is then a secret reference with the rest of the way as a JSON pointer
(RFC 6901) in its fragment, ``{"$secret": "<reference>#/name"}``. Whoever resolves secrets splits it with
`parse_secret_reference`, goes on with `walk`, and finds out only then whether there is anything.

Source: The Orchestrator, "Resource Model: Orchestrations and Activities"; docs/decisions/input-targets.md.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol

_MARK: Final = "$secret"
_LONGEST_INDEX: Final = 9  # Digits; no array is longer, and int() stays cheap.


class Absent(Enum):
    """The type of `ABSENT`, so that a checker can tell it from values."""

    ABSENT = "absent"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent.ABSENT
"""There is nothing where the source points."""


class Reference(Protocol):
    """One input of an activity: where its value comes from, and its name there; no target means the default one."""

    @property
    def source(self) -> str:
        """``cell`` or ``dns.record.name``."""
        ...

    @property
    def target(self) -> str | None:
        """The input's name."""
        ...


def is_secret_reference(value: Any) -> bool:
    """Whether a JSON value is a secret by reference: an object with ``$secret``, a string, and nothing else."""
    return isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get(_MARK), str)


def secret_reference(reference: str, path: Sequence[str] = ()) -> dict[str, str]:
    """The JSON form of a secret, or with ``path`` of a part of it."""
    if not path:
        return {_MARK: reference}
    pointer = "".join("/" + segment.replace("~", "~0").replace("/", "~1") for segment in path)
    return {_MARK: f"{reference}{'' if '#' in reference else '#'}{pointer}"}


def parse_secret_reference(value: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The reference and the path inside it; the reverse of `secret_reference` for references without a ``#``."""
    reference, _, pointer = value[_MARK].partition("#")
    segments = pointer.split("/")[1:]
    return reference, tuple(segment.replace("~1", "/").replace("~0", "~") for segment in segments)


def walk(value: Any, segments: Sequence[str]) -> Any:
    """What stands at ``segments`` inside ``value``, or `ABSENT`; a secret reference where a secret bars the way."""
    for index, segment in enumerate(segments):
        if is_secret_reference(value):
            reference, path = parse_secret_reference(value)
            return secret_reference(reference, (*path, *segments[index:]))
        value = _step(value, segment)
        if value is ABSENT:
            return ABSENT
    return value


def resolve(
    source: str,
    input_data: Mapping[str, Any],
    outputs_by_activity: Mapping[str, Mapping[str, Any]],
    *,
    activity_ids: Collection[str] = (),
) -> Any:
    """The value that ``source`` stands for.

    Args:
        source: ``cell``, ``cell.upstreams.0`` or ``dns.record.name``.
        input_data: The orchestration's input.
        outputs_by_activity: Outputs by activity id.
        activity_ids: Ids that are activities even when they have no outputs (yet); those with outputs always are.

    Returns:
        A JSON value or `ABSENT`.
    """
    if source in input_data:
        return input_data[source]
    first, *rest = source.split(".")
    if first in outputs_by_activity or first in activity_ids:
        return walk(outputs_by_activity.get(first, ABSENT), rest)
    return walk(input_data.get(first, ABSENT), rest)


def default_target(source: str, input_keys: Collection[str]) -> str:
    """The name of an input that is given by its source alone.

    A source that is a key of the input keeps its name, dots and all; else it is the last segment: ``resource`` for
    ``activity1.resource``.
    """
    return source if source in input_keys else source.rpartition(".")[2]


def resolve_inputs(
    activity_inputs: Iterable[Reference],
    input_data: Mapping[str, Any],
    outputs_by_activity: Mapping[str, Mapping[str, Any]],
    *,
    activity_ids: Collection[str] = (),
) -> dict[str, Any]:
    """The inputs of one activity by target name; what is absent is left out, secrets stay references."""
    found = {}
    for reference in activity_inputs:
        value = resolve(reference.source, input_data, outputs_by_activity, activity_ids=activity_ids)
        if value is not ABSENT:
            found[reference.target or default_target(reference.source, input_data.keys())] = value
    return found


def _step(value: Any, segment: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(segment, ABSENT)
    if isinstance(value, list | tuple) and segment.isascii() and segment.isdecimal() and len(segment) <= _LONGEST_INDEX:
        index = int(segment)
        return value[index] if index < len(value) else ABSENT
    return ABSENT
