"""Texts as JSON values. JSON and YAML in, duplicate keys and endless nesting refused, every fault with its place."""

import json
import re
from functools import cached_property
from typing import Any

from runner.errors import InvalidUsage, Problem
from runner.model.malformed import Malformed
from runner.model.paths import Path
from runner.model.yaml_events import DEEPEST, build

JSON_SUFFIX = ".json"
YAML_SUFFIXES = (".yaml", ".yml")
# YAML takes nearly all of JSON, and mistakes in it too: [1 2] is a list of one string there.
_LOOKS_LIKE_JSON = re.compile(r'\s*(\{\s*["}]|\[)')
_CONSTANT = "-?Infinity|NaN"
_LONG_NUMBER = "[0-9]{4000,}"


def parse_json(text: str, source: str = "") -> Any:
    """The value of a JSON text.

    Raises:
        runner.errors.InvalidUsage: It is malformed; with one problem that has the line and column.
    """
    try:
        return read_json(text)
    except Malformed as error:
        raise refused(error, source) from None


def parse_yaml(text: str, source: str = "") -> Any:
    """The value of a YAML text; an empty one is null.

    Raises:
        runner.errors.InvalidUsage: It is malformed; with one problem that has the line and column.
    """
    try:
        return build(text)[0]
    except Malformed as error:
        raise refused(error, source) from None


def read(text: str, suffix: str = "") -> Any:
    """The value of a text, in the language that a file's suffix names; without one, JSON if it begins like it.

    Raises:
        Malformed: It is not well formed.
    """
    if suffix == JSON_SUFFIX:
        return read_json(text)
    if suffix in YAML_SUFFIXES:
        return build(text)[0]
    if _LOOKS_LIKE_JSON.match(text):
        return read_json(text)
    return build(text)[0]


def read_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        Malformed: It is no JSON, has a key twice, or is nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise Malformed(error.msg[0].lower() + error.msg[1:], error.lineno, error.colno) from None
    except RecursionError:
        raise _placed(Malformed(f"it is nested more than {DEEPEST} levels deep"), text) from None
    except Malformed as error:
        raise _placed(error, text) from None
    except ValueError:
        raise _at(_LONG_NUMBER, text, "a number has too many digits") from None
    if _depth(value) > DEEPEST:
        raise _placed(Malformed(f"it is nested more than {DEEPEST} levels deep"), text)
    return value


class Places:
    """Where the parts of a text are. The text is only looked into when first asked, for few texts have faults."""

    def __init__(self, text: str) -> None:
        self._text = text

    def locate(self, path: Path) -> tuple[int, int]:
        """Line and column where the part at ``path`` begins, or the nearest part around it; zeros when unknown."""
        ends = range(len(path), -1, -1)
        return next((self._places[path[:end]] for end in ends if path[:end] in self._places), (0, 0))

    @cached_property
    def _places(self) -> dict[Path, tuple[int, int]]:
        """JSON is read as the YAML that it nearly is: good enough to point at a fault."""
        try:
            return build(self._text.replace("\t", " "))[1]
        except Malformed:
            return {}


def refused(error: Malformed, source: str) -> InvalidUsage:
    """The error that a user sees."""
    problem = Problem(error.message, source=source, line=error.line, column=error.column)
    return InvalidUsage(f"reading {source or 'the text'}: it is malformed", [problem])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise Malformed(f"the key '{key[:60]}' stands twice in one object")
        made[key] = value
    return made


def _refuse_constant(name: str) -> Any:
    raise Malformed(f"JSON has no number '{name}'")


def _placed(error: Malformed, text: str) -> Malformed:
    """The same fault with its place, found by reading the text as YAML, which refuses it too."""
    try:
        build(text.replace("\t", " "))
    except Malformed as again:
        if again.message == error.message:
            return again
    return _at(_CONSTANT, text, error.message)


def _at(token: str, text: str, message: str) -> Malformed:
    """A fault at the first such token outside of strings; without a place when there is none."""
    for match in re.finditer(rf'"(?:\\.|[^"\\])*"|({token})', text):
        if match[1]:
            line_start = text.rfind("\n", 0, match.start()) + 1
            return Malformed(message, text.count("\n", 0, line_start) + 1, match.start() - line_start + 1)
    return Malformed(message)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [part for held in level if isinstance(held, dict | list) for part in _parts(held)]:
        depth += 1
    return depth


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
