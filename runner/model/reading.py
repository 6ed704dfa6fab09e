"""Documents as definitions: every fault becomes a problem, and what can be read is read all the same.

A definition that breaks a rule in a field that others do not depend on is read without that field, so that the rules
between definitions are checked too and all problems are reported at once.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from runner.errors import Problem
from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.origin import Origin
from runner.model.paths import Path
from runner.model.templates import is_template, members
from runner.model.wire import faults

_LOAD_BEARING = frozenset({"activities", "dependsOn", "id", "inputs", "type"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A definition and where it came from."""

    definition: OrchestrationDefinition | ActivityDefinition
    origin: Origin = field(default_factory=Origin)


@dataclass(slots=True)
class Reading:
    """What was read so far.

    Attributes:
        entries: Definitions, whole or without their faulty fields.
        problems: What was wrong with their documents.
        broken: Types of definitions that could not be read: they are known, if only by name.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def take(self, document: Any, origin: Origin) -> None:
        """Read one definition or an array of them."""
        if not isinstance(document, list):
            self._take_one(document, origin)
            return
        for index, part in enumerate(document):
            self._take_one(part, replace(origin, prefix=(index,)))

    def _take_one(self, document: Any, origin: Origin) -> None:
        if not isinstance(document, Mapping):
            self.problems.append(
                origin.problem((), "is no definition", "a file holds one definition, or an array of them, as objects")
            )
        elif is_template(document):
            for key, member in members(document):
                self._read(OrchestrationDefinition, member, replace(origin, group=key))
        else:
            self._read(OrchestrationDefinition if "activities" in document else ActivityDefinition, document, origin)

    def _read(
        self, kind: type[OrchestrationDefinition | ActivityDefinition], document: Mapping[str, Any], origin: Origin
    ) -> None:
        try:
            self.entries.append(Entry(kind.model_validate(document, by_alias=True, by_name=False), origin))
        except ValidationError as error:
            found = faults(error)
            self.problems += [origin.problem(path, text) for path, text in found]
            self._salvage(kind, _without(document, [path for path, _ in found]), origin)

    def _salvage(self, kind: type[OrchestrationDefinition | ActivityDefinition], document: Any, origin: Origin) -> None:
        try:
            self.entries.append(Entry(kind.model_validate(document, by_alias=True, by_name=False), origin))
        except ValidationError:
            self.broken |= set(_names(document))


def _without(document: Mapping[str, Any], paths: list[Path]) -> Any:
    """The document without the faulty fields; those that others depend on stay, and so does the fault."""
    copied = copy.deepcopy(dict(document))
    for path in paths:
        depth = 2 if path[:1] == ("activities",) and len(path) > 2 else 0  # noqa: PLR2004 - activities, index, field
        owner: Any = copied
        for key in path[:depth]:
            owner = owner[key]
        if path[depth:] and path[depth] not in _LOAD_BEARING:
            owner.pop(path[depth], None)
    return copied


def _names(document: Any) -> Iterator[str]:
    name = document.get("type")
    if isinstance(name, str):
        yield name
