"""Data flow: from the input and the outputs to an activity's inputs, and to the orchestration's outputs."""

from collections.abc import Iterable, Mapping
from typing import Any

from runner.engine.plan import Plan, PlannedActivity
from runner.engine.state import UNDO, ActivityState, Orchestration, Status, is_undo
from runner.graph.references import ABSENT, default_target, resolve
from runner.model.schema import violations


def inputs_of(plan: Plan, name: str, orchestration: Orchestration) -> dict[str, Any]:
    """The activity's inputs by target name; a source that is absent is left out."""
    return _mapped(plan, plan.planned(name).inputs, orchestration)


def _mapped(plan: Plan, pairs: Iterable[tuple[str, str]], orchestration: Orchestration) -> dict[str, Any]:
    """Values by target. The input comes before what activities put into the shared context; see docs/decisions."""
    data = {**orchestration.values, **orchestration.input}
    outputs = _outputs(orchestration)
    found: dict[str, Any] = {}
    for source, target in pairs:
        value = resolve(source, data, outputs, activity_ids=plan.activities.keys())
        if value is not ABSENT:
            found[target or default_target(source, data.keys())] = value
    return found


def values_of(activity: ActivityState, orchestration: Orchestration) -> dict[str, Any]:
    """The shared context as the activity sees it: with its own staged changes."""
    if not activity.set and not activity.deleted:
        return dict(orchestration.values)
    values = {**orchestration.values, **activity.set}
    for key in activity.deleted:
        values.pop(key, None)
    return values


def output_of(plan: Plan, orchestration: Orchestration) -> dict[str, Any]:
    """The orchestration's output data: its mappings alone when it has any, else all outputs, later tiers winning."""
    if plan.output:
        return _mapped(plan, plan.output, orchestration)
    outputs = {name: a.outputs for name, a in orchestration.activities.items() if a.status is Status.COMPLETED}
    flat: dict[str, Any] = {}
    for tier in plan.tiers:
        for name in tier:
            flat.update(outputs.get(name, {}))
    return flat


def output_problems(planned: PlannedActivity, outputs: Mapping[str, Any]) -> str:
    """What is wrong with an activity's outputs by its output schema, as one text; empty when nothing is."""
    if not planned.output_schema:
        return ""
    return "; ".join(str(problem) for problem in violations(planned.output_schema, dict(outputs), any_secret=True))


def _outputs(orchestration: Orchestration) -> dict[str, Mapping[str, Any]]:
    """Outputs of completed activities; every other activity of the plan counts as having none."""
    done = [(name, a.outputs) for name, a in orchestration.activities.items() if a.status is Status.COMPLETED]
    return {name.removeprefix(UNDO): outputs for name, outputs in sorted(done, key=lambda one: is_undo(one[0]))}
