"""An orchestration as users see it: the reference's REST form, and why an activity is not running."""

from datetime import UTC, datetime
from typing import Any

from runner.engine.commands import HELD_WHILE_PAUSED
from runner.engine.data import output_of
from runner.engine.plan import Plan
from runner.engine.state import ActivityState, Orchestration, Status


def rest_form(plan: Plan, orchestration: Orchestration) -> dict[str, Any]:
    """The orchestration in the reference's REST form; secrets stay references.

    Source: The reference system on the wire, "REST".
    """
    data = dict(orchestration.values)
    if orchestration.error:
        data["error"] = orchestration.error
    if orchestration.undone or orchestration.not_undone:
        data["compensation"] = {"undone": orchestration.undone, "notUndone": orchestration.not_undone}
    done = [name for name, a in orchestration.activities.items() if a.status is Status.COMPLETED]
    return {
        "id": orchestration.oid,
        "correlationId": orchestration.correlation_id,
        "definitionId": plan.type,
        "state": int(orchestration.state),
        "stateTimestamp": timestamp(orchestration.state_millis),
        "createdTimestamp": timestamp(orchestration.created_millis),
        "orchestrationType": orchestration.type,
        "steps": [{"activities": [_step(plan, name) for name in tier]} for tier in plan.tiers_of(orchestration.only)],
        "processingData": data,
        "outputData": orchestration.output if orchestration.is_terminal else output_of(plan, orchestration),
        "completed": {name: {} for name in done},
    }


def _step(plan: Plan, name: str) -> dict[str, Any]:
    activity = plan.activities[name]
    return {
        "id": activity.id,
        "type": activity.type,
        "discriminator": activity.discriminator,
        "dependsOn": list(activity.depends_on),
    }


def timestamp(millis: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def activity_line(plan: Plan, orchestration: Orchestration, name: str, now: int) -> dict[str, Any]:
    """One activity for ``show``: ``{id, type, tier, status, attempt, agent, error, why}``."""
    tiers = plan.tiers_of(orchestration.only)
    tier = next((index for index, names in enumerate(tiers) if name in names), -1)
    activity = orchestration.activities.get(name)
    return {
        "id": name,
        "type": plan.activities[name].type,
        "tier": tier,
        "status": str(activity.status) if activity else ("skipped" if tier < 0 else "pending"),
        "attempt": activity.attempt if activity else 0,
        "agent": activity.agent if activity else "",
        "error": activity.error if activity else "",
        "why": why_not_running(plan, orchestration, name, now),
    }


def why_not_running(plan: Plan, orchestration: Orchestration, name: str, now: int) -> str:
    """Why the activity does not make progress at this moment, as one clause; empty when it has ended."""
    activity = orchestration.activities.get(name)
    if activity is not None:
        held = " (paused)" if orchestration.paused and activity.status in HELD_WHILE_PAUSED else ""
        return _why_live(plan, name, activity, now) + held
    if orchestration.paused and not orchestration.is_terminal:
        return "the orchestration is paused"
    if orchestration.only and name not in orchestration.only:
        return "left out by --only"
    if orchestration.is_terminal or orchestration.is_stopping:
        return "nothing new starts: " + (orchestration.error or "the orchestration has ended").split("\n", 1)[0]
    missing = [
        other
        for other in plan.activities[name].depends_on
        if other not in orchestration.activities or orchestration.activities[other].status is not Status.COMPLETED
    ]
    if missing:
        return f"needs {', '.join(missing)} first"
    open_names = [other for other, a in orchestration.activities.items() if a.status is not Status.COMPLETED]
    return f"its tier starts when the one before has completed; still open: {', '.join(open_names)}"


def _why_live(plan: Plan, name: str, activity: ActivityState, now: int) -> str:
    due = f"in {max(0, activity.due_millis - now) / 1000:.1f} s" if activity.due_millis else "without a time limit"
    planned = plan.planned(name)
    texts = {
        Status.QUEUED: f"in the queue of '{planned.type}', or run by an agent, "
        f"since {timestamp(activity.dispatched_millis)}",
        Status.WAITING: f"waits to be completed from outside, {due}",
        Status.SCHEDULED: f"polls again {due} (poll {activity.polls})",
        Status.RETRYING: f"attempt {activity.attempt + 1} of {planned.retry.max_attempts} starts {due}, "
        f"after: {activity.error}",
        Status.STOPPING: f"was told to stop; abandoned {due}",
    }
    return texts.get(activity.status, "")
