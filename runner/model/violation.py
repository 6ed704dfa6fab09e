"""One violation of a JSON Schema in words: lower case, what must be and what is, the value short and quoted."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema.exceptions import best_match

_SHOWN = 60
_LISTED = 12
_KINDS = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


@dataclass(frozen=True, slots=True)
class Text:
    """What is said of a violation.

    Attributes:
        below: What to add to the place that the validator names.
    """

    message: str
    remedy: str = ""
    below: tuple[str, ...] = ()


def described(error: Any, *, hidden: bool) -> Text:
    """The violation in words.

    Args:
        error: A `jsonschema.ValidationError`; typed loosely, for most of its fields may be unset by their types.
        hidden: The value, or a part of it, is a secret: nothing of it is shown.
    """
    special = _SPECIAL.get(str(error.validator))
    if special is not None:
        return special(error, hidden)
    template = _TEMPLATES.get(str(error.validator))
    if template is None:
        return Text("is not allowed" if error.validator is None else f"violates '{error.validator}' of its schema")
    return Text(template.format(_short(error.validator_value)) + _but_is(error, hidden))


def _but_is(error: Any, hidden: bool) -> str:
    if hidden:
        return ""
    value = error.instance
    sized = {"minLength": "characters", "maxLength": "characters", "minItems": "items", "maxItems": "items"}
    if error.validator in sized:
        return f", has {len(value)}"
    return f", not {named(value)}"


def named(value: Any) -> str:
    """A JSON value in a sentence: scalars quoted and shortened, the others by their kind alone."""
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list | tuple) else _short(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _type(error: Any, hidden: bool) -> Text:
    kinds = error.validator_value
    allowed: list[str] = kinds if isinstance(kinds, list) else [kinds]
    return Text(f"must be {' or '.join(_KINDS.get(kind, kind) for kind in allowed)}" + _but_is(error, hidden))


def _required(error: Any, _: bool) -> Text:
    """The validator makes one error for each missing name, and says which one in its message alone."""
    name = next(name for name in error.validator_value if error.message == f"{name!r} is a required property")
    return Text("is required", remedy=f"give it {_what(error.schema, name)}", below=(name,))


def _what(schema: Any, name: str) -> str:
    part = schema.get("properties", {}).get(name)
    kind = part.get("type") if isinstance(part, Mapping) else None
    return f"as {_KINDS[kind]}" if isinstance(kind, str) and kind in _KINDS else "a value"


def _enum(error: Any, hidden: bool) -> Text:
    listed = _list(error.validator_value)
    return Text(f"must be one of {listed}" + _but_is(error, hidden), remedy=_meant(error, hidden))


def _meant(error: Any, hidden: bool) -> str:
    choices = [choice for choice in error.validator_value if isinstance(choice, str)]
    return did_you_mean(error.instance, choices) if isinstance(error.instance, str) and not hidden else ""


def _additional(error: Any, _: bool) -> Text:
    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    extra = [
        name
        for name in error.instance
        if name not in known and not any(re.search(pattern, name) for pattern in patterns)
    ]
    remedy = next(
        filter(None, (did_you_mean(name, known) for name in extra)), f"leave it out; known are {_list(known)}"
    )
    return Text(f"has properties that are not known: {_list(extra)}", remedy=remedy)


def _alternatives(error: Any, hidden: bool) -> Text:
    if not error.context:
        return Text("fits more than one of its alternatives, and must fit one alone")
    nearest = _nearest(error.context)
    text = described(nearest, hidden=hidden)
    inside = ".".join(map(str, [*nearest.relative_path, *text.below]))
    reason = f"{inside} {text.message}" if inside else text.message
    return Text(f"fits none of its {len(error.validator_value)} alternatives; the nearest: {reason}")


def _nearest(errors: Any) -> Any:
    """The most telling error of the alternatives that at least have the value's type, or else of all."""
    wrong_type = {one.relative_schema_path[0] for one in errors if one.validator == "type" and not one.relative_path}
    return best_match([one for one in errors if one.relative_schema_path[0] not in wrong_type] or errors)


def did_you_mean(name: str, known: Any) -> str:
    """``did you mean 'x'?``, or nothing."""
    near = difflib.get_close_matches(name[:_SHOWN], known, n=1)
    return f"did you mean '{near[0]}'?" if near else ""


def _list(values: Any) -> str:
    shown = [_short(value) for value in values]
    more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return ", ".join(shown[:_LISTED]) + more if shown else "none"


_TEMPLATES = {
    "const": "must be {}",
    "exclusiveMaximum": "must be less than {}",
    "exclusiveMinimum": "must be greater than {}",
    "format": "must have the format {}",
    "maxItems": "must have at most {} items",
    "maxLength": "must have at most {} characters",
    "maximum": "must be at most {}",
    "minItems": "must have at least {} items",
    "minLength": "must have at least {} characters",
    "minimum": "must be at least {}",
    "multipleOf": "must be a multiple of {}",
    "pattern": "must match the pattern {}",
}
_SPECIAL: dict[str, Callable[[Any, bool], Text]] = {
    "additionalProperties": _additional,
    "anyOf": _alternatives,
    "contains": lambda *_: Text("must hold an item of the kind that its schema asks for"),
    "enum": _enum,
    "maxProperties": lambda error, _: Text(f"must have at most {error.validator_value} properties"),
    "minProperties": lambda error, _: Text(f"must have at least {error.validator_value} properties"),
    "not": lambda *_: Text("is what its schema excludes"),
    "oneOf": _alternatives,
    "required": _required,
    "type": _type,
    "uniqueItems": lambda *_: Text("must not hold the same item twice"),
}
