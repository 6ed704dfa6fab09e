"""What all JSON documents of the model have in common.

camelCase in JSON, snake_case in Python. Null members count as left out, unknown ones are ignored. Instances are frozen.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails

from runner.errors import InvalidDefinition, InvalidInput, Problem
from runner.model.paths import Path, json_path

TYPE_PATTERN = r"^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$"
"""A type: ``^[a-zA-Z0-9._-]+$`` without an empty part between dots."""
ID_PATTERN = r"^[^.\x00-\x1f\x7f]+$"
"""An activity's id: what stands before the first dot of a reference."""

_MESSAGES = {
    "dict_type": "must be an object",
    "missing": "is required",
    "model_type": "must be an object",
    "tuple_type": "must be an array",
}
_PATTERNS = {
    TYPE_PATTERN: "must consist of letters, digits, '_', '-' and '.', without an empty part between the dots",
    ID_PATTERN: "must not hold a dot or a control character: references separate the id from what follows by a dot",
}


class Wire(BaseModel):
    """The base of the model's documents."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )
    refusal: ClassVar[type[InvalidDefinition] | type[InvalidInput]] = InvalidDefinition

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, document: Any) -> Any:
        if isinstance(document, Mapping):
            return {key: value for key, value in document.items() if value is not None}
        return document

    @classmethod
    def from_wire(cls, document: Any, *, source: str = "") -> Self:
        """Read a JSON value.

        Raises:
            runner.errors.InvalidDefinition: It breaks rules (`InvalidInput` for what callers send); all problems.
        """
        try:
            return cls.model_validate(document, by_alias=True, by_name=False)
        except ValidationError as error:
            problems = [Problem(text, path=json_path(path), source=source) for path, text in faults(error)]
            raise cls.refusal(
                f"reading the {described(cls)}: it breaks {_count(len(problems), 'rule')}", problems
            ) from None

    def to_wire(self) -> dict[str, Any]:
        """The JSON value: every field that is not None, defaults too, so that it means the same to any version."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The published schema says what is accepted: null wherever a field may be left out."""
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        required = own.get("required", ())
        for name, part in own.get("properties", {}).items():
            if name not in required:
                own["properties"][name] = _or_null(part)
        return schema


def described(kind: type[Wire]) -> str:
    """``orchestration definition`` for `OrchestrationDefinition`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).strip()


def faults(error: ValidationError) -> list[tuple[Path, str]]:
    """Each place that is wrong, and what is wrong there, in words."""
    return [(fault["loc"], _text(fault)) for fault in error.errors(include_url=False, include_input=False)]


def _text(fault: ErrorDetails) -> str:
    pattern = fault.get("ctx", {}).get("pattern")
    known = _PATTERNS.get(str(pattern)) or _MESSAGES.get(fault["type"])
    if known:
        return known
    text = fault["msg"].removeprefix("Value error, ")
    for subject in ("Input should", "String should", "Value should", "Tuple should", "List should"):
        text = text.replace(subject, "must")
    return text[0].lower() + text[1:]


def _or_null(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("default", ...) is None:
        part = {key: value for key, value in part.items() if key != "default"}
    options = part.get("anyOf", [])
    if {"type": "null"} in options:
        return part
    outside = {key: value for key, value in part.items() if key in {"default", "description"}}
    inside = {key: value for key, value in part.items() if key not in {*outside, "title"}}
    return {"anyOf": [inside, {"type": "null"}], **outside}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
