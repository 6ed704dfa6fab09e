"""Texts for people: times, states, values."""

from typing import Any

import orjson

from runner.graph.references import is_secret_reference

STATES = {
    0: "initialized",
    1: "running",
    2: "completed",
    3: "errored",
    4: "cancelled",
    5: "compensating",
    6: "compensated",
}


def duration(millis: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``."""
    seconds = millis / 1000
    if seconds < 10:  # noqa: PLR2004 - below ten seconds tenths matter
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def first_line(text: str) -> str:
    """The text up to its first line break."""
    return text.split("\n", 1)[0]


def value_text(value: Any) -> str:
    """A JSON value in a line or several; a secret is named as such."""
    if is_secret_reference(value):
        return "(sensitive)"
    if isinstance(value, str):
        return value
    return orjson.dumps(_without_secrets(value), option=orjson.OPT_INDENT_2).decode()


def _without_secrets(value: Any) -> Any:
    if is_secret_reference(value):
        return "(sensitive)"
    if isinstance(value, dict):
        return {key: _without_secrets(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_secrets(part) for part in value]
    return value


def json_text(value: Any) -> str:
    """One JSON document, indented."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
