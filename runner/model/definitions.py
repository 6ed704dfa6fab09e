"""What one project or one registry defines, as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from runner.errors import InvalidDefinition, Problem, Refused, UnknownThing
from runner.model.checks import Rules
from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.reading import Entry
from runner.model.templates import default_compensation
from runner.model.violation import did_you_mean


@dataclass(frozen=True)
class DefinitionSet:
    """Orchestration definitions and activity definitions that may refer to each other.

    Attributes:
        entries: Each with its origin, in the order they were read.
        problems: What was already found wrong while reading.
        broken: Types of definitions that could not be read.
    """

    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    broken: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *definitions: OrchestrationDefinition | ActivityDefinition) -> Self:
        """A set of definitions that come from nowhere in particular."""
        return cls(tuple(map(Entry, definitions)))

    @cached_property
    def orchestrations(self) -> Mapping[str, OrchestrationDefinition]:
        """By type; the first one of a type that stands twice."""
        found = [entry.definition for entry in self.entries if isinstance(entry.definition, OrchestrationDefinition)]
        return {definition.type: definition for definition in reversed(found)}

    @cached_property
    def activities(self) -> Mapping[str, ActivityDefinition]:
        """By type; the first one of a type that stands twice."""
        found = [entry.definition for entry in self.entries if isinstance(entry.definition, ActivityDefinition)]
        return {definition.type: definition for definition in reversed(found)}

    def check(self) -> None:
        """Hold every definition against the rules between definitions.

        Raises:
            runner.errors.InvalidDefinition: All problems of all definitions, those found while reading included, by file.
        """
        found = [*self.problems, *Rules(self.entries, self.broken).problems()]
        found.sort(key=lambda problem: (problem.source, problem.line, problem.column))
        if found:
            count = f"{len(found)} problem{'s' if len(found) > 1 else ''}"
            raise InvalidDefinition(
                f"checking the definitions: there {'are' if len(found) > 1 else 'is'} {count}", found
            )

    def orchestration(self, type_: str) -> OrchestrationDefinition:
        """The orchestration definition of a type.

        Raises:
            runner.errors.UnknownThing: There is none.
        """
        definition = self.orchestrations.get(type_)
        if definition is None:
            known = ", ".join(sorted(self.orchestrations)) or "none"
            remedy = did_you_mean(type_, self.orchestrations) or f"the types are: {known}"
            raise UnknownThing(f"there is no orchestration definition of type '{type_}'", remedy=remedy)
        return definition

    def startable(self, type_: str) -> OrchestrationDefinition:
        """The orchestration definition of a type that is to be started.

        Raises:
            runner.errors.UnknownThing: There is none.
            runner.errors.Refused: It is not active.
        """
        definition = self.orchestration(type_)
        if not definition.active:
            raise Refused(
                f"starting an orchestration of type '{type_}': its definition is not active",
                remedy='set "active": true in the definition',
            )
        return definition

    def compensation_of(self, definition: OrchestrationDefinition) -> OrchestrationDefinition | None:
        """The definition that undoes another: the one it names, else its counterpart in the same template.

        Raises:
            runner.errors.UnknownThing: It names one that does not exist.
        """
        name = definition.compensation or default_compensation(definition, self.orchestrations)
        return self.orchestration(name) if name else None

    def users_of(self, activity_type: str) -> list[str]:
        """Types of the orchestration definitions that have an activity of a type, in their order."""
        return [
            name
            for name, definition in self.orchestrations.items()
            if any(activity.type == activity_type for activity in definition.activities)
        ]
