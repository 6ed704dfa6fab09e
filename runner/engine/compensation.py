"""What undoes an orchestration that failed: which activities, in which order, and what came of it.

Activities pair with those of the compensating definition by id, else by the workspace that both name. Only partners of
activities that had started are run, each once, in the order of the compensation's own graph. What existed before the
orchestration is left alone: undoing a failed change of a tenant must not take the tenant down.

Source: architecture, "The resource model"; docs/decisions/compensation.md.
"""

from runner.engine import facts
from runner.engine.data import output_of
from runner.engine.plan import Plan, PlannedActivity
from runner.engine.state import UNDO, Orchestration, OrchestrationState, Status, is_undo
from runner.engine.transition import Transition
from runner.graph.tiers import restrict, tiers, upstream


def partners(plan: Plan, orchestration: Orchestration) -> dict[str, str]:
    """For each activity that had started and was not there before: the one that undoes it."""
    if plan.compensation is None:
        return {}
    found: dict[str, str] = {}
    for name, activity in orchestration.activities.items():
        if is_undo(name) or activity.existing:
            continue
        partner = _partner(plan.activities[name], plan.compensation)
        if partner is not None:
            found[name] = partner
    return found


def _partner(planned: PlannedActivity, compensation: Plan) -> str | None:
    if planned.id in compensation.activities:
        return planned.id
    workspace = planned.config.get("workspace")
    if workspace is None:
        return None
    named = (other.id for other in compensation.activities.values() if other.config.get("workspace") == workspace)
    return next(named, None)


def undo_tiers(plan: Plan, orchestration: Orchestration) -> tuple[tuple[str, ...], ...]:
    """Tiers of ``undo.<id>`` names; empty when there is nothing to undo."""
    if plan.compensation is None:
        return ()
    chosen = set(partners(plan, orchestration).values())
    pairs = [(one.id, one.depends_on) for one in plan.compensation.activities.values()]
    return tuple(tuple(UNDO + name for name in tier) for tier in tiers(restrict(pairs, chosen)))


def begin(t: Transition) -> bool:
    """Start compensating; False when there is nothing to undo."""
    if not undo_tiers(t.plan, t.state):
        return False
    t.add(facts.CompensationStarted())
    advance(t)
    return True


def advance(t: Transition) -> None:
    """Start the next tier, or end; an activity that needs one which could not be undone is not tried."""
    remaining = undo_tiers(t.plan, t.state)
    while not t.state.open:
        following = t.state.tier + 1
        if following == len(remaining):
            _end(t)
            return
        ready = [name for name in remaining[following] if not _skipped(t, name)]
        t.add(facts.TierStarted(index=following, size=len(ready)))
        for name in ready:
            t.add(facts.Dispatched(activity=name))


def _skipped(t: Transition, name: str) -> bool:
    assert t.plan.compensation is not None  # noqa: S101 - there are tiers
    pairs = [(one.id, one.depends_on) for one in t.plan.compensation.activities.values()]
    for other in sorted(upstream(pairs, [name.removeprefix(UNDO)])):
        before = t.state.activities.get(UNDO + other)
        if before is not None and before.status is not Status.COMPLETED:
            t.add(facts.Skipped(activity=name, error=f"not tried: '{other}' could not be undone"))
            return True
    return False


def _end(t: Transition) -> None:
    done, failed = [], {}
    for name, partner in partners(t.plan, t.state).items():
        activity = t.state.activities[UNDO + partner]
        if activity.status is Status.COMPLETED:
            done.append(name)
        else:
            failed[name] = activity.error
    error = f"activity '{t.state.failed_activity}': {t.state.error}"
    if failed:
        error += f"\ncompensation could not undo: {', '.join(failed)}"
    t.add(
        facts.Ended(
            state=OrchestrationState.ERRORED if failed else OrchestrationState.COMPENSATED,
            error=error,
            output=output_of(t.plan, t.state),
            undone=done,
            not_undone=failed,
        )
    )
