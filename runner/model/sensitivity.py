"""Which parts of a value a schema marks ``"sensitive": true``.

Everything that could apply counts, whether it does or not: all alternatives of ``anyOf`` and ``oneOf``, both sides of
``if``. A part that may be a secret is treated as one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runner.model.compiled import Node, compiled
from runner.model.paths import Path

_ALSO_IN_PLACE = ("if", "then", "else", "not")


def sensitive_paths(schema: Any, value: Any) -> list[Path]:
    """Where ``value`` has parts that are sensitive, outermost ones alone; ``()`` is the whole.

    Follows references inside the schema. A part that is absent, or already a secret by reference, counts like any other:
    only what ``value`` holds is listed.
    """
    made = compiled(schema)
    return _outermost(_found(made.root, value)) if made.holds_sensitive else []


def is_within(path: Path, places: list[Path]) -> bool:
    """Whether ``path`` is one of ``places`` or lies inside one."""
    return any(path[: len(place)] == place for place in places)


def _outermost(paths: Iterator[Path]) -> list[Path]:
    kept = list(dict.fromkeys(paths))
    known = set(kept)
    return [path for path in kept if not any(path[:depth] in known for depth in range(len(path)))]


def _found(root: Node, value: Any) -> Iterator[Path]:
    pending: list[tuple[Path, Node, Any]] = [((), root, value)]
    seen = set[tuple[int, Path]]()
    while pending:
        path, node, part = pending.pop(0)
        if (id(node.schema), path) in seen or not isinstance(node.schema, Mapping):
            continue
        seen.add((id(node.schema), path))
        if node.schema.get("sensitive") is True:
            yield path
            continue
        pending += ((path, inner, part) for inner in _same_value(node))
        pending += (((*path, key), inner, part[key]) for key, inner in _parts(node, part))


def _same_value(node: Node) -> Iterator[Node]:
    yield from node.in_place()
    yield from (node.at(node.schema[keyword]) for keyword in _ALSO_IN_PLACE if keyword in node.schema)
    for keyword in ("dependentSchemas", "dependencies"):
        yield from map(node.at, (node.schema.get(keyword) or {}).values())


def _parts(node: Node, value: Any) -> Iterator[tuple[Any, Node]]:
    """Each key or index of ``value`` with a schema that could apply to what stands there."""
    if isinstance(value, Mapping):
        for key in value:
            yield from ((key, node.at(schema)) for schema in member_schemas(node.schema, key))
    elif isinstance(value, list | tuple):
        for index in range(len(value)):
            yield from ((index, node.at(schema)) for schema in item_schemas(node.schema, index))


def member_schemas(schema: Mapping[str, Any], name: str) -> list[Any]:
    """The schemas that apply to the property ``name``; those for additional ones only when no other does."""
    named = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    named += [part for pattern, part in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
    return named or [schema[key] for key in ("additionalProperties", "unevaluatedProperties") if key in schema]


def item_schemas(schema: Mapping[str, Any], index: int) -> list[Any]:
    """The schemas that apply to the item at ``index``."""
    items = schema.get("items")
    first, rest = (
        (items, schema.get("additionalItems")) if isinstance(items, list) else (schema.get("prefixItems"), items)
    )
    found = [first[index]] if first and index < len(first) else [rest]
    found += [schema.get("contains"), schema.get("unevaluatedItems")]
    return [part for part in found if part is not None]
