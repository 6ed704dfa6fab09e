"""``pattern`` as JSON Schema means it: ``$`` is the end of the text, never the place before a last line break."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jsonschema import ValidationError


@lru_cache(maxsize=1024)
def ecma(pattern: str) -> re.Pattern[str]:
    """A regular expression of JSON Schema's dialect as Python reads it; raises re.error when it is malformed."""
    translated, escaped, in_class = "", False, False
    for character in pattern:
        if character == "$" and not escaped and not in_class:
            translated += r"\Z"
        else:
            translated += character
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "[]":
            in_class = character == "["
    return re.compile(translated)


def check_pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """The keyword's check, as jsonschema calls it."""
    del schema
    if validator.is_type(instance, "string") and ecma(pattern).search(instance) is None:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")
