"""OpenAPI 3.0 schema objects as plain JSON Schema.

The specification's only schema type is ``{"openAPIV3Schema": {…}}``. OpenAPI 3.0's schema object is JSON Schema but for
``nullable`` and for exclusive bounds that are flags; what else it adds (``example``, ``xml``) says nothing of validity.
"""

from collections.abc import Mapping
from typing import Any

from runner.model.subschemas import rewritten

WRAPPER = "openAPIV3Schema"


def plain(schema: Any) -> Any:
    """The plain JSON Schema of what a definition holds: itself, or what its ``openAPIV3Schema`` holds, translated."""
    if not is_wrapped(schema):
        return schema
    return rewritten(schema[WRAPPER] or {}, _translated)


def is_wrapped(schema: Any) -> bool:
    """Whether it has the form ``{"openAPIV3Schema": …}``."""
    return isinstance(schema, Mapping) and WRAPPER in schema


def _translated(schema: dict[str, Any]) -> dict[str, Any]:
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        _take_exclusive(schema, flag, bound)
    nullable = schema.pop("nullable", False)
    return _with_null(schema) if nullable is True else schema


def _take_exclusive(schema: dict[str, Any], flag: str, bound: str) -> None:
    """``minimum: 1, exclusiveMinimum: true`` is ``exclusiveMinimum: 1``."""
    if not isinstance(schema.get(flag), bool):
        return
    if schema.pop(flag) and bound in schema:
        schema[flag] = schema.pop(bound)


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Null beside what the schema allows. Without a ``type``, ``nullable`` has no effect (OpenAPI 3.0.3)."""
    kind = schema.get("type")
    if not isinstance(kind, str):
        return schema
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return {**schema, "type": [kind, "null"]}
