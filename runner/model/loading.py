"""Reads files: definitions, inputs, lines of inputs. The one module of the model that does."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from runner.errors import InvalidUsage, Problem
from runner.model.assignments import parse_assignment
from runner.model.definitions import DefinitionSet
from runner.model.documents import JSON_SUFFIX, YAML_SUFFIXES, Places, read, read_json, refused
from runner.model.malformed import Malformed
from runner.model.origin import Origin
from runner.model.reading import Reading

__all__ = ["load_definitions", "load_inputs", "load_lines", "parse_assignment"]

MOST_BYTES = 8 * 1024 * 1024
"""A definition, inputs, or a line of inputs is no longer."""
STDIN = "-"
_SUFFIXES = (JSON_SUFFIX, *YAML_SUFFIXES)


def load_definitions(*paths: str | os.PathLike[str]) -> DefinitionSet:
    """Everything that files and folders hold, as one set that is yet to be checked.

    A folder is read at any depth: its ``*.json``, ``*.yaml`` and ``*.yml``, but for names that begin with a dot. A file
    is read whatever it is called. What is wrong with a file or a definition is kept in the set, and raised by
    `DefinitionSet.check` together with everything else.

    Raises:
        runner.errors.InvalidUsage: A path does not exist.
    """
    reading = Reading()
    for file in dict.fromkeys(file for path in paths for file in _files(Path(path))):
        _read_file(file, reading)
    return DefinitionSet(tuple(reading.entries), tuple(reading.problems), frozenset(reading.broken))


def load_inputs(source: str, stdin: BinaryIO | None = None) -> dict[str, Any]:
    """The object of inputs in a JSON or YAML file, or on standard input for ``-``.

    Raises:
        runner.errors.InvalidUsage: There is no such file, it is malformed, or it holds no object.
    """
    name = "<stdin>" if source == STDIN else source
    try:
        text = _decoded((stdin or sys.stdin.buffer).read(MOST_BYTES + 1) if source == STDIN else _bytes(Path(source)))
        value = read(text, "" if source == STDIN else Path(source).suffix.lower())
    except Malformed as error:
        raise refused(error, name) from None
    if not isinstance(value, dict):
        problem = Problem("must be an object of inputs", path="$", source=name, line=1, column=1)
        raise InvalidUsage(
            f"reading the inputs from {name}", [problem], remedy='write {"key": value, …}, or key: value'
        )
    return value


def load_lines(path: str | os.PathLike[str]) -> list[tuple[int, dict[str, Any]]]:
    """The inputs in each line of a JSON Lines file, with the line's number from 1; blank lines are passed over.

    Raises:
        runner.errors.InvalidUsage: There is no such file, or lines are malformed; all of them are named.
    """
    read_lines, problems = [], list[Problem]()
    for number, line in _lines(Path(path)):
        try:
            read_lines.append((number, _object_of(line)))
        except Malformed as error:
            problems.append(Problem(error.message, source=str(path), line=number, column=error.column or 1))
    if problems:
        raise InvalidUsage(
            f"reading the inputs from {path}", problems, remedy='each line is one object: {"tenantId": "t1"}'
        )
    return read_lines


def _object_of(line: bytes) -> dict[str, Any]:
    value = read_json(_decoded(line))
    if not isinstance(value, dict):
        raise Malformed("must be an object of inputs", 1, 1)
    return value


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MOST_BYTES + 1):
                number += 1
                if line.strip():
                    yield number, line
    except OSError as error:
        raise _unreadable(path, error) from None


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise InvalidUsage(f"reading definitions: there is no file or folder '{path}'")
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in names if _is_definition(name)]
    return sorted(found)


def _is_definition(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def _read_file(path: Path, reading: Reading) -> None:
    try:
        text = _decoded(_bytes(path))
        document = read(text, path.suffix.lower())
    except Malformed as error:
        reading.problems.append(Problem(error.message, source=str(path), line=error.line, column=error.column))
    except InvalidUsage as error:
        reading.problems.append(Problem(error.detail, source=str(path), remedy=error.remedy))
    else:
        reading.take(document, Origin(str(path), locate=Places(text).locate))


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InvalidUsage:
    return InvalidUsage(f"reading '{path}': {(error.strerror or str(error)).lower()}")


def _decoded(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise Malformed(f"it is longer than {MOST_BYTES // 1024 // 1024} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        message = "it is not UTF-8"
        raise Malformed(message, before.count(b"\n") + 1, error.start - line_start + 1) from None
