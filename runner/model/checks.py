"""The rules between definitions, and between the parts of one. Each finding has its place and says what to do."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from runner.errors import Problem
from runner.graph import cycles, upstream
from runner.model.admission import Verdict, first_excluded, listed_names, verdict_on
from runner.model.definition import Activity, ActivityDefinition, InputReference, OrchestrationDefinition
from runner.model.origin import Origin
from runner.model.paths import Path
from runner.model.reading import Entry
from runner.model.schema import schema_faults
from runner.model.violation import did_you_mean


class Rules:
    """Holds definitions against the rules.

    Args:
        entries: All definitions that may refer to each other.
        broken: Types whose definitions could not be read: referring to them is no further fault.
    """

    def __init__(self, entries: Sequence[Entry], broken: frozenset[str] = frozenset()) -> None:
        self._entries = entries
        self._broken = broken
        self._activities: dict[str, ActivityDefinition] = {}
        self._orchestrations: set[str] = set()
        for entry in reversed(entries):
            if isinstance(entry.definition, ActivityDefinition):
                self._activities[entry.definition.type] = entry.definition
            else:
                self._orchestrations.add(entry.definition.type)

    def problems(self) -> Iterator[Problem]:
        """Every finding, definition by definition."""
        first: dict[tuple[bool, str], Entry] = {}
        for entry in self._entries:
            definition, origin = entry.definition, entry.origin
            is_activity = isinstance(definition, ActivityDefinition)
            earlier = first.setdefault((is_activity, definition.type), entry)
            if earlier is not entry:
                yield _twice(entry, earlier)
            if isinstance(definition, ActivityDefinition):
                yield from _schema_problems(definition.input_schema, "inputSchema", origin)
                yield from _schema_problems(definition.output_schema, "outputSchema", origin)
            else:
                yield from self._orchestration(definition, origin)

    def _orchestration(self, definition: OrchestrationDefinition, origin: Origin) -> Iterator[Problem]:
        yield from _schema_problems(definition.input_schema, "schema", origin)
        yield from self._compensation(definition, origin)
        yield from _concurrency_key(definition, origin)
        yield from _graph(definition, origin)
        for index, activity in enumerate(definition.activities):
            yield from self._type(activity, origin, ("activities", index, "type"))
        checkable = not schema_faults(definition.input_schema)
        if checkable:  # What a schema lists can only be asked of a valid one.
            yield from _References(definition, self._activities, origin).problems()

    def _type(self, activity: Activity, origin: Origin, path: Path) -> Iterator[Problem]:
        if activity.type not in self._activities and activity.type not in self._broken:
            nearest = did_you_mean(activity.type, self._activities)
            yield origin.problem(
                path,
                f"there is no activity definition of type '{activity.type}'",
                _or(nearest, f'define it: {{"type": "{activity.type}", "provider": "…"}}'),
            )

    def _compensation(self, definition: OrchestrationDefinition, origin: Origin) -> Iterator[Problem]:
        name = definition.compensation
        if name is not None and name not in self._orchestrations and name not in self._broken:
            yield origin.problem(
                ("compensation",),
                f"there is no orchestration definition of type '{name}'",
                _or(did_you_mean(name, self._orchestrations), "define it, or leave compensation out"),
            )


class _References:
    """The references of one orchestration definition: what its activities and its output take from where."""

    def __init__(
        self, definition: OrchestrationDefinition, activities: dict[str, ActivityDefinition], origin: Origin
    ) -> None:
        self._definition = definition
        self._definitions = activities
        self._origin = origin
        self._pairs = definition.pairs()
        self._types = {activity.id: activity.type for activity in definition.activities}
        self._keys = definition.known_input_keys()

    def problems(self) -> Iterator[Problem]:
        for index, activity in enumerate(self._definition.activities):
            yield from self._inputs(activity, ("activities", index, "inputs"))
        yield from self._targets(self._definition.output, ("output",))
        for index, reference in enumerate(self._definition.output):
            yield from self._output(reference, ("output", index))

    def _inputs(self, activity: Activity, path: Path) -> Iterator[Problem]:
        yield from self._targets(activity.inputs, path)
        above: frozenset[str] | None = None
        for index, reference in enumerate(activity.inputs):
            owner = self._owner(reference)
            if owner is None:
                continue
            if owner not in activity.depends_on:
                above = upstream(self._pairs, [activity.id]) if above is None else above
                if owner == activity.id or owner not in above:
                    yield self._not_upstream(reference, owner, activity, (*path, index))
                    continue
            yield from self._excluded(reference, owner, (*path, index))

    def _owner(self, reference: InputReference) -> str | None:
        """The activity whose output is meant; None for a key of the input."""
        first = reference.source.partition(".")[0]
        return first if first in self._types and reference.source not in self._keys else None

    def _not_upstream(self, reference: InputReference, owner: str, activity: Activity, path: Path) -> Problem:
        if owner == activity.id:
            return self._origin.problem(
                path,
                f"'{reference.source}' refers to the activity's own output",
                "refer to an activity that it depends on, or to the input",
            )
        backwards = activity.id in upstream(self._pairs, [owner])
        return self._origin.problem(
            path,
            f"'{reference.source}' refers to '{owner}', which is not upstream of '{activity.id}'",
            f"'{owner}' itself depends on '{activity.id}': turn the dependency round, or take the value from elsewhere"
            if backwards
            else f"add '{owner}' to dependsOn of '{activity.id}'",
        )

    def _excluded(self, reference: InputReference, owner: str, path: Path) -> Iterator[Problem]:
        segments = reference.source.split(".")[1:]
        definition = self._definitions.get(self._types[owner])
        schema = definition.output_schema if definition else {}
        if "" in segments:
            yield self._origin.problem(
                path,
                f"'{reference.source}' has an empty part",
                "write the activity's id, one dot, and the output's name",
            )
        elif definition and not schema_faults(schema):
            index = first_excluded(schema, segments)
            if index is not None:
                yield self._origin.problem(path, *_says_excluded(reference, definition, segments[: index + 1]))

    def _output(self, reference: InputReference, path: Path) -> Iterator[Problem]:
        owner = self._owner(reference)
        if owner is not None:
            yield from self._excluded(reference, owner, path)
            return
        first, dot, _ = reference.source.partition(".")
        verdict = verdict_on(self._definition.input_schema, first)
        known = verdict is Verdict.ADMITTED or {first, reference.source} & self._keys
        if not known and (dot or verdict is Verdict.EXCLUDED):
            remedy = did_you_mean(first, [*self._types, *self._keys])
            yield self._origin.problem(
                path,
                f"'{reference.source}' refers to '{first}', which is neither an activity nor a property of the input's schema",
                remedy or f"the activities are: {', '.join(self._types) or 'none'}",
            )

    def _targets(self, references: Sequence[InputReference], path: Path) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for index, reference in enumerate(references):
            target = self._definition.target_of(reference)
            if first.setdefault(target, index) != index:
                earlier = references[first[target]].source
                yield self._origin.problem(
                    (*path, index),
                    f"'{reference.source}' is called '{target}', as '{earlier}' is already",
                    f'give one of them another name: {{"source": "{reference.source}", "target": "…"}}',
                )


def _or(nearest: str, remedy: str) -> str:
    return f"{nearest} otherwise {remedy}" if nearest else remedy


def _says_excluded(
    reference: InputReference, definition: ActivityDefinition, segments: Sequence[str]
) -> tuple[str, str]:
    name = ".".join(segments)
    message = f"'{reference.source}' refers to '{name}', which the outputSchema of '{definition.type}' does not have"
    names = listed_names(definition.output_schema)
    if len(segments) > 1 or not names:
        return message, f"correct the reference, or add '{name}' to that outputSchema"
    return message, did_you_mean(name, names) or f"its outputs are: {', '.join(names)}"


def _graph(definition: OrchestrationDefinition, origin: Origin) -> Iterator[Problem]:
    ids: dict[str, int] = {}
    for index, activity in enumerate(definition.activities):
        if ids.setdefault(activity.id, index) != index:
            path: Path = ("activities", index)
            yield origin.problem((*path, "id"), f"the id '{activity.id}' stands twice", "give each activity its own id")
    for index, activity in enumerate(definition.activities):
        yield from _dependencies(activity, ids, origin, ("activities", index, "dependsOn"))
    others = [(id_, [other for other in others if other != id_]) for id_, others in definition.pairs()]
    for cycle in cycles(others):
        yield origin.problem(
            ("activities", ids[cycle[0]], "dependsOn"),
            f"activities depend on each other in a cycle: {' → '.join(cycle)}",
            "remove one of these dependencies",
        )


def _dependencies(activity: Activity, ids: Collection[str], origin: Origin, path: Path) -> Iterator[Problem]:
    for other in activity.depends_on:
        if other == activity.id:
            yield origin.problem(path, f"'{activity.id}' depends on itself", "remove that dependency")
        elif other not in ids:
            remedy = did_you_mean(other, ids) or f"the activities are: {', '.join(ids)}"
            yield origin.problem(path, f"there is no activity '{other}'", remedy)


def _twice(entry: Entry, earlier: Entry) -> Problem:
    kind = "activity" if isinstance(entry.definition, ActivityDefinition) else "orchestration"
    where = earlier.origin.problem(("type",), "").path
    place = f"{earlier.origin.source} {where}".strip()
    return entry.origin.problem(
        ("type",),
        f"the {kind} type '{entry.definition.type}' is already defined at {place}",
        "remove one of the two, or give it another type",
    )


def _schema_problems(schema: Any, name: str, origin: Origin) -> Iterator[Problem]:
    for path, text, remedy in schema_faults(schema):
        yield origin.problem((name, *path), text, remedy)


def _concurrency_key(definition: OrchestrationDefinition, origin: Origin) -> Iterator[Problem]:
    if definition.concurrency_key is None:
        return
    from jinja2 import TemplateSyntaxError  # noqa: PLC0415 - heavy, and few definitions have templates
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    try:
        SandboxedEnvironment().parse(definition.concurrency_key)
    except TemplateSyntaxError as error:
        yield origin.problem(
            ("concurrencyKey",),
            f"the template does not parse: {error.message}",
            "write the key over the input, as in '{{ tenantId }}'",
        )
