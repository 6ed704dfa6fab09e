"""The schemas inside a JSON Schema.

What a keyword holds decides what is a schema in it: a property that is *named* ``sensitive`` or ``$ref`` is no keyword.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from runner.model.paths import Path

ONE: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords that hold a schema."""
SEVERAL: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
"""Keywords that hold an array of schemas (``items`` did in earlier drafts)."""
NAMED: Final = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
"""Keywords that hold an object of schemas by name."""


def children(schema: Any) -> Iterator[tuple[Path, Any]]:
    """Each schema directly inside ``schema``, with its place; malformed parts are passed over."""
    if not isinstance(schema, Mapping):
        return
    for keyword, held in schema.items():
        if keyword in NAMED and isinstance(held, Mapping):
            yield from (((keyword, name), part) for name, part in held.items())
        elif keyword in SEVERAL and isinstance(held, list):
            yield from (((keyword, index), part) for index, part in enumerate(held))
        elif keyword in ONE:
            yield (keyword,), held


def subschemas(schema: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """``schema`` itself and every schema inside it that is an object, with its place, outermost first."""
    pending: list[tuple[Path, Any]] = [((), schema)]
    while pending:
        path, current = pending.pop(0)
        if isinstance(current, Mapping):
            yield path, current
        pending += [((*path, *inner), part) for inner, part in children(current)]


def rewritten(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of ``schema`` with ``change`` applied to each schema in it that is an object, innermost first."""
    if not isinstance(schema, Mapping):
        return schema
    copy: dict[str, Any] = {}
    for keyword, held in schema.items():
        if keyword in NAMED and isinstance(held, Mapping):
            copy[keyword] = {name: rewritten(part, change) for name, part in held.items()}
        elif keyword in SEVERAL and isinstance(held, list):
            copy[keyword] = [rewritten(part, change) for part in held]
        else:
            copy[keyword] = rewritten(held, change) if keyword in ONE else held
    return change(copy)
