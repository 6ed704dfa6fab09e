"""TYPE_OR_FILE: which definition is meant, and the set it belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from runner.errors import Fatal, InvalidDefinition, InvalidInput, InvalidUsage, Problem, UnknownThing
from runner.graph.tiers import tiers
from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.definitions import DefinitionSet
from runner.model.loading import load_definitions, load_inputs, load_lines, parse_assignment
from runner.model.schema import violations
from runner.project.folder import Project, is_project_module

CONFIG_CHECKS = "tierform.config_checks"
"""Entry points by provider: each is called with a ``config`` and raises `runner.errors.Fatal` when it is wrong."""
_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Target:
    """One orchestration definition among those it refers to; checked."""

    definition: OrchestrationDefinition
    definitions: DefinitionSet

    @property
    def tiers(self) -> tuple[tuple[str, ...], ...]:
        """Activity ids per tier."""
        return tiers(self.definition.pairs())


def find_target(text: str, project: Project) -> Target:
    """The definition that ``text`` names: a type of the project, or a file that holds one.

    A file is read together with the project's definitions; where both define a type, the file's counts.

    Raises:
        runner.errors.InvalidDefinition: Definitions break rules.
        runner.errors.UnknownThing: There is no such type or file.
        runner.errors.InvalidUsage: The file holds no orchestration definition, or several.
    """
    path = Path(text)
    if path.suffix in _SUFFIXES or "/" in text:
        return _from_file(path, project)
    definitions = project_definitions(project)
    definitions.check()
    return _checked(definitions, text, project)


def project_definitions(project: Project) -> DefinitionSet:
    """Everything in the project's ``orchestrations`` folder, unchecked."""
    if not project.orchestrations.is_dir():
        raise UnknownThing(
            f"reading the definitions of the project '{project.root}': it has no folder 'orchestrations'",
            remedy="name another project with --project, or make one with: tierform new DIR",
        )
    return load_definitions(project.orchestrations)


def _from_file(path: Path, project: Project) -> Target:
    own = load_definitions(path)
    if own.problems:
        own.check()
    found = list(own.orchestrations)
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise InvalidUsage(
            f"looking for the orchestration definition in '{path}': there must be one, found {listed}",
            remedy="put the definition alone in a file, or name a type of the project",
        )
    everything = _over(own, project)
    everything.check()
    return _checked(everything, found[0], project)


def _over(own: DefinitionSet, project: Project) -> DefinitionSet:
    if not project.orchestrations.is_dir():
        return own
    theirs = load_definitions(project.orchestrations)
    taken = {*own.orchestrations, *own.activities}
    kept = tuple(entry for entry in theirs.entries if entry.definition.type not in taken)
    return DefinitionSet((*own.entries, *kept), theirs.problems, theirs.broken - taken)


def _checked(definitions: DefinitionSet, type_: str, project: Project) -> Target:
    definition = definitions.startable(type_)
    undoing = definitions.compensation_of(definition)
    used = [activity.type for one in (definition, undoing) if one is not None for activity in one.activities]
    check_providers([definitions.activities[name] for name in dict.fromkeys(used)], project)
    return Target(definition, definitions)


def check_providers(activities: Iterable[ActivityDefinition], project: Project) -> None:
    """Hold activity definitions against what is installed and what the project has: modules, and each provider's config.

    A provider that is not installed here is none of this check's business: an agent elsewhere may have it.

    Raises:
        runner.errors.InvalidDefinition: All that is wrong at once.
    """
    checks = {entry.name: entry for entry in entry_points(group=CONFIG_CHECKS)}
    problems: list[Problem] = []
    for definition in activities:
        module = definition.config.get("module")
        try:
            if definition.provider in checks:
                checks[definition.provider].load()(definition.config)
            if definition.provider == "terraform" and isinstance(module, str) and is_project_module(module):
                project.module_folder(module)
        except (UnknownThing, Fatal) as error:
            problems.append(Problem(error.detail, path=f"activity definition '{definition.type}'", remedy=error.remedy))
    if problems:
        raise InvalidDefinition("checking what the activity definitions ask of their providers", problems)


def read_inputs(definition: OrchestrationDefinition, file: str | None, assignments: tuple[str, ...]) -> dict[str, Any]:
    """The inputs given by ``-f`` and ``-i``, checked against the definition's schema.

    Raises:
        runner.errors.InvalidUsage: A file or an assignment is malformed.
        runner.errors.InvalidInput: The inputs violate the schema; all violations at once.
    """
    schema = definition.plain_schema()
    inputs = load_inputs(file) if file is not None else {}
    inputs |= dict(parse_assignment(text, schema) for text in assignments)
    check_inputs(definition, inputs)
    return inputs


def read_each(definition: OrchestrationDefinition, path: Path, assignments: tuple[str, ...]) -> list[dict[str, Any]]:
    """The inputs of each line, with the assignments over all of them; every line is checked before anything starts."""
    schema = definition.plain_schema()
    common = dict(parse_assignment(text, schema) for text in assignments)
    lines = load_lines(path)
    for number, inputs in lines:
        check_inputs(definition, {**inputs, **common}, place=f"{path}:{number}: ")
    return [{**inputs, **common} for _, inputs in lines]


def check_inputs(definition: OrchestrationDefinition, inputs: dict[str, Any], place: str = "") -> None:
    """Hold inputs, with the definition's own under them, against the definition's schema; raises InvalidInput."""
    schema = definition.plain_schema()
    problems = violations(schema, {**definition.input, **inputs}) if schema else []
    if problems:
        raise InvalidInput(f"{place}the inputs of '{definition.type}' violate its schema", problems)
