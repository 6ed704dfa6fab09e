"""What a running orchestration keeps: its definition and all it refers to, as they stood when it started."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from pydantic import Field

from runner.errors import UnknownThing
from runner.model.canonical import canonical_bytes, digest
from runner.model.definition import DEFAULT_RETRY, Activity, ActivityDefinition, OrchestrationDefinition, RetryPolicy
from runner.model.definitions import DefinitionSet
from runner.model.documents import parse_json
from runner.model.wire import Wire


@dataclass(frozen=True, slots=True)
class ActivitySettings:
    """One activity with its definition's fields folded in.

    Attributes:
        inputs: ``(source, target)`` for each input.
        retry: With every field filled in.
        modules: Digests of the modules that its ``config`` names.
    """

    activity: Activity
    definition: ActivityDefinition
    inputs: tuple[tuple[str, str], ...]
    retry: RetryPolicy
    timeout_millis: int | None
    heartbeat_timeout_millis: int | None
    wait_timeout_millis: int | None
    modules: Mapping[str, str]


class Bundle(Wire):
    """One orchestration definition, the activity definitions it uses, and what undoes it.

    Immutable and complete: it can be stored under its `digest` and means the same for ever. A compensation has none of
    its own: what fails while it undoes is not undone.
    """

    definition: OrchestrationDefinition
    activities: dict[str, ActivityDefinition]
    modules: dict[str, str] = Field(default_factory=dict)
    compensation: "Bundle | None" = None

    @classmethod
    def compile(cls, definitions: DefinitionSet, type_: str, modules: Mapping[str, str] | None = None) -> Self:
        """Compile the bundle of a type.

        Args:
            definitions: A set that passes its check.
            type_: The orchestration type.
            modules: Digest of each module folder by name; those that no ``config`` names are left out.

        Raises:
            runner.errors.UnknownThing: The type, a type it uses, or its compensation is not in the set.
        """
        definition = definitions.orchestration(type_)
        undoing = definitions.compensation_of(definition)
        compensation = cls._one(definitions, undoing, modules or {}, None) if undoing else None
        return cls._one(definitions, definition, modules or {}, compensation)

    @classmethod
    def _one(
        cls,
        definitions: DefinitionSet,
        definition: OrchestrationDefinition,
        modules: Mapping[str, str],
        compensation: "Bundle | None",
    ) -> Self:
        used = {activity.type: definitions.activities.get(activity.type) for activity in definition.activities}
        for name, found in used.items():
            if found is None:
                raise UnknownThing(f"compiling '{definition.type}': there is no activity definition of type '{name}'")
        activities = {name: found for name, found in used.items() if found is not None}
        named = {name for found in activities.values() for name in _texts(found.config)}
        kept = {name: value for name, value in modules.items() if name in named}
        return cls(definition=definition, activities=activities, modules=kept, compensation=compensation)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The reverse of `to_bytes`.

        Raises:
            runner.errors.NeverRetry: These are no bundle's bytes.
        """
        return cls.from_wire(parse_json(data.decode()))

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal bundles give equal bytes."""
        return canonical_bytes(self.to_wire())

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of its bytes."""
        return digest(self.to_bytes())

    def settings(self, activity_id: str) -> ActivitySettings:
        """One activity with everything that holds for it.

        Raises:
            runner.errors.UnknownThing: There is no such activity.
        """
        activity = self.definition.activity(activity_id)
        if activity is None:
            raise UnknownThing(f"the orchestration definition '{self.definition.type}' has no activity '{activity_id}'")
        return self._settings(activity, self.activities[activity.type])

    def _settings(self, activity: Activity, definition: ActivityDefinition) -> ActivitySettings:
        outer = definition.retry.over(DEFAULT_RETRY) if definition.retry else DEFAULT_RETRY
        named = set(_texts(definition.config))
        return ActivitySettings(
            activity=activity,
            definition=definition,
            inputs=tuple((one.source, self.definition.target_of(one)) for one in activity.inputs),
            retry=activity.retry.over(outer) if activity.retry else outer,
            timeout_millis=activity.timeout_millis or definition.timeout_millis,
            heartbeat_timeout_millis=activity.heartbeat_timeout_millis or definition.heartbeat_timeout_millis,
            wait_timeout_millis=activity.wait_timeout_millis or definition.wait_timeout_millis,
            modules={name: value for name, value in self.modules.items() if name in named},
        )


def _texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
