"""Inputs given one by one as ``key=value``."""

from typing import Any

from runner.errors import InvalidUsage
from runner.model.compiled import Node, compiled
from runner.model.documents import parse_json
from runner.model.sensitivity import member_schemas

_KINDS: dict[type, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    type(None): "null",
}


def parse_assignment(text: str, schema: Any) -> tuple[str, Any]:
    """The key and the value of ``key=value``.

    The value is read as the schema's type for that key asks; else as JSON; else it is the text itself. So ``id=007``
    stays ``"007"`` where the schema says string, and is a number where it says integer or nothing. What does not fit
    the schema's type comes back as text: validation then says so with its place.

    Raises:
        runner.errors.InvalidUsage: There is no ``=``, or nothing before it. The text is not repeated: it may be secret.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InvalidUsage("an input does not have the form KEY=VALUE", remedy="give it as -i tenantId=t1")
    return key, _read(value, *_allowed(schema, key))


def _read(text: str, kinds: set[str], choices: list[Any]) -> Any:
    if text in choices or kinds - {"null"} == {"string"}:
        return text
    try:
        value = parse_json(text)
    except InvalidUsage:
        return text
    return value if not kinds or _fits(value, kinds) else text


def _fits(value: Any, kinds: set[str]) -> bool:
    kind = _KINDS[type(value)]
    return kind in kinds or (kind == "integer" and "number" in kinds) or (kind == "number" and _is_whole(value, kinds))


def _is_whole(value: float, kinds: set[str]) -> bool:
    return "integer" in kinds and value.is_integer()


def _allowed(schema: Any, key: str) -> tuple[set[str], list[Any]]:
    """The types, and the values of ``enum`` and ``const``, that any schema of the property names."""
    kinds, choices = set[str](), list[Any]()
    for node in _schemas_of(compiled(schema).root, key):
        kind = node.schema.get("type", ())
        kinds |= {kind} if isinstance(kind, str) else set(kind)
        choices += [*node.schema.get("enum", ()), *([node.schema["const"]] if "const" in node.schema else ())]
    return kinds, choices


def _schemas_of(root: Node, key: str) -> list[Node]:
    owners = [node for node in root.spread() if isinstance(node.schema, dict)]
    parts = [owner.at(part) for owner in owners for part in member_schemas(owner.schema, key)]
    return [node for part in parts for node in part.spread() if isinstance(node.schema, dict)]
