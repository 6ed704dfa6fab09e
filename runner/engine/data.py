"""Data flow: from the input and the outputs to an activity's inputs, and to the orchestration's outputs."""

from collections.abc import Mapping
from typing import Any

from runner.engine.plan import Plan, PlannedActivity
from runner.engine.state import ActivityState, Orchestration, Status
from runner.graph.references import ABSENT, resolve
from runner.model.schema import violations


def inputs_of(planned: PlannedActivity, orchestration: Orchestration) -> dict[str, Any]:
    """The activity's inputs by target name; a source that is absent is left out."""
    outputs = _outputs(orchestration)
    found = ((target, resolve(source, orchestration.input, outputs)) for source, target in planned.inputs)
    return {target: value for target, value in found if value is not ABSENT}


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
    outputs = _outputs(orchestration)
    if plan.output:
        found = ((target, resolve(source, orchestration.values, outputs)) for source, target in plan.output)
        return {target: value for target, value in found if value is not ABSENT}
    flat: dict[str, Any] = {}
    for tier in plan.tiers:
        for name in tier:
            flat.update(outputs.get(name, {}))
    return flat


def output_problems(planned: PlannedActivity, outputs: Mapping[str, Any]) -> str:
    """What is wrong with an activity's outputs by its output schema, as one text; empty when nothing is."""
    if not planned.output_schema:
        return ""
    return "; ".join(str(problem) for problem in violations(planned.output_schema, dict(outputs)))


def _outputs(orchestration: Orchestration) -> dict[str, Mapping[str, Any]]:
    """Outputs of completed activities; every other activity of the plan counts as having none."""
    return {
        name: activity.outputs
        for name, activity in orchestration.activities.items()
        if activity.status is Status.COMPLETED
    }
