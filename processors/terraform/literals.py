"""JSON values as HCL that means exactly that value, whatever is in it."""

import math
from collections.abc import Mapping
from typing import Any

_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F


def to_hcl(value: Any) -> str:  # noqa: PLR0911 - one kind of value a line
    """One expression, on one line; ``${`` and ``%{`` in a string stay text.

    Raises:
        ValueError: The value is none of JSON's, or a number without a finite value.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_string(str(key))} = {to_hcl(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_hcl(item) for item in value) + "]"
    message = f"a {type(value).__name__} has no HCL literal"
    raise ValueError(message)


def assignments(values: Mapping[str, Any]) -> bytes:
    """A ``.tfvars`` file that gives each name its value."""
    return "".join(f"{name} = {to_hcl(value)}\n" for name, value in values.items()).encode("utf-8", "replace")


def _number(value: float) -> str:
    if not math.isfinite(value):
        message = f"{value} has no HCL literal"
        raise ValueError(message)
    return repr(value)


def _string(text: str) -> str:
    # A `$` or `%` before a brace is written as its code point: HCL looks for `${` before it resolves escapes, so that
    # nothing is left to find, in whatever company it comes (`$$${` is read differently by different versions).
    parts = []
    for index, character in enumerate(text):
        if character in _SHORT:
            parts.append(_SHORT[character])
        elif ord(character) < _FIRST_PRINTABLE or ord(character) == _DELETE or _opens_template(text, index):
            parts.append(f"\\u{ord(character):04x}")
        else:
            parts.append(character)
    return '"' + "".join(parts) + '"'


def _opens_template(text: str, index: int) -> bool:
    return text[index] in "$%" and text[index + 1 : index + 2] == "{"
