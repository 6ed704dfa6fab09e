"""YAML text as a JSON value, built from the parser's events.

What a definition needs and no more, so that a file means what it shows:

* Plain scalars follow YAML 1.2's core schema: ``true``/``false``, ``null``/``~``, numbers. ``yes``, ``NO`` and
  ``2026-07-24`` are strings.
* One document, no tags but the core ones. Keys are strings (``1:`` is the key ``"1"``) and stand once.
* Anchors, aliases and merge keys (``<<``) work, but what they expand to is counted: a small text cannot grow without
  bounds. An alias cannot stand inside what it names.

Nothing here recurses: depth is bounded by a count.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from runner.model.malformed import Malformed
from runner.model.paths import Path

MOST_VALUES = 500_000
DEEPEST = 100
_CORE = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "float": (float, int),
    "int": (int,),
    "null": (type(None),),
}


@dataclass(slots=True)
class _Open:
    """A mapping or a sequence that is being read."""

    value: Any
    path: Path
    anchor: str | None
    before: int
    key: str | None = None
    merged: list[Any] = field(default_factory=list)


class _Builder:
    """Builds one value; ``places`` has where each part of it begins, 1-based."""

    def __init__(self) -> None:
        self.value: Any = None
        self.places: dict[Path, tuple[int, int]] = {}
        self._stack: list[_Open] = []
        self._anchored: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Go on with the next event."""
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _malformed("there is a second document ('---'); a file holds one", event)
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close(event)
            case _:
                pass  # The stream's and the document's ends.

    def _scalar(self, event: Any) -> None:
        if self._expects_key():
            self._take_key(event)
            return
        value = _scalar(event)
        if event.anchor:
            self._anchored[event.anchor] = value, 1
        self._put(value, 1, event)

    def _alias(self, event: Any) -> None:
        if self._expects_key():
            raise _malformed("a key must be plain text, not an alias", event)
        if event.anchor not in self._anchored:
            raise _malformed(f"the alias '*{event.anchor}' names nothing that is complete before it", event)
        value, size = self._anchored[event.anchor]
        self._put(value, size, event)

    def _open(self, event: Any) -> None:
        if self._expects_key():
            raise _malformed("a key must be plain text, not a mapping or a sequence", event)
        if len(self._stack) >= DEEPEST:
            raise _malformed(f"it is nested more than {DEEPEST} levels deep", event)
        _refuse_tag(event, "map", "seq")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._next_path()
        self._put(value, 1, event, finished=False)
        self._anchored.pop(event.anchor, None)
        self._stack.append(_Open(value, path, event.anchor, self._count))

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        for mapping in done.merged:
            self._merge(done.value, mapping, event)
        if done.anchor:
            self._anchored[done.anchor] = done.value, self._count - done.before + 1
        if self._stack:
            self._stack[-1].key = None

    def _merge(self, into: dict[str, Any], merged: Any, event: Any) -> None:
        """Add what ``<<`` names: one mapping or several, earlier ones winning, what stands there anyway most of all."""
        for mapping in merged if isinstance(merged, list) else [merged]:
            if not isinstance(mapping, dict):
                raise _malformed("'<<' must name a mapping, or a sequence of mappings", event)
            for key, value in mapping.items():
                into.setdefault(key, value)

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _take_key(self, event: Any) -> None:
        _refuse_tag(event, "str", *_KINDS)
        top = self._stack[-1]
        if event.value in top.value or (event.value == "<<" and top.merged):
            raise _malformed(f"the key '{event.value[:60]}' stands twice in one object", event)
        top.key = event.value

    def _next_path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.path, len(top.value) if top.key is None else top.key)

    def _put(self, value: Any, size: int, event: Any, *, finished: bool = True) -> None:
        self._count += size
        if self._count > MOST_VALUES:
            raise _malformed(f"it expands to more than {MOST_VALUES} values", event)
        self.places[self._next_path()] = event.start_mark.line + 1, event.start_mark.column + 1
        if not self._stack:
            self.value = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return
        if top.key == "<<":
            top.merged.append(value)
        else:
            top.value[top.key] = value
        top.key = None if finished else top.key


def build(text: str) -> tuple[Any, dict[Path, tuple[int, int]]]:
    """The value of a YAML text, and the line and column of each of its parts. An empty text is null.

    Raises:
        Malformed: It is no YAML, or more than the subset described above.
    """
    builder = _Builder()
    for event in _events(text):
        builder.take(event)
    return builder.value, builder.places


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise Malformed(error.problem or "it is no YAML", line, column) from None
    except yaml.YAMLError as error:
        raise Malformed(str(error).splitlines()[0]) from None


def _scalar(event: Any) -> Any:
    _refuse_tag(event, "str", *_KINDS)
    if event.tag is None:
        return _plain(event) if event.implicit[0] else event.value
    kind = event.tag.removeprefix(_CORE)
    if kind not in _KINDS:
        return event.value
    value = _plain(event)
    if type(value) not in _KINDS[kind]:
        raise _malformed(f"'{event.value[:60]}' is no {kind}", event)
    return value


def _plain(event: Any) -> Any:
    text: str = event.value
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(number):
        raise _malformed(f"JSON has no number '{text[:60]}'; put it in quotes if it is text", event)
    return number


def _refuse_tag(event: Any, *kinds: str) -> None:
    if event.tag not in {None, "!", *(_CORE + kind for kind in kinds)}:
        raise _malformed(f"the tag '{event.tag}' is not allowed", event)


def _malformed(message: str, event: Any) -> Malformed:
    return Malformed(message, event.start_mark.line + 1, event.start_mark.column + 1)
