"""Whether something starts, or everything has ended."""

from runner.engine import compensation, facts
from runner.engine.data import output_of
from runner.engine.state import OrchestrationState, Status, live
from runner.engine.transition import Transition


def advance(t: Transition) -> None:
    """Start what may start, or end what has nothing left to do. Not to be called in a terminal state."""
    if t.state.state is OrchestrationState.COMPENSATING:
        compensation.advance(t)
    elif t.state.is_stopping:
        _end_when_idle(t)
    elif t.state.paused:
        return
    elif t.plan.eager:
        _start_ready(t)
    else:
        _start_tier(t)


def _start_tier(t: Transition) -> None:
    tiers = t.plan.tiers_of(t.state.only)
    while not t.state.open:
        following = t.state.tier + 1
        if following == len(tiers):
            _complete(t)
            return
        _start(t, [name for name in tiers[following] if name not in t.state.activities])


def _start(t: Transition, names: list[str]) -> None:
    t.add(facts.TierStarted(index=t.state.tier + 1, size=len(names)))
    for name in names:
        t.add(facts.Dispatched(activity=name))


def _start_ready(t: Transition) -> None:
    chosen = [name for tier in t.plan.tiers_of(t.state.only) for name in tier]
    known = t.state.activities
    done = {name for name, activity in known.items() if activity.status is Status.COMPLETED}
    within = set(chosen)
    ready = [
        name
        for name in chosen
        if name not in known and done.issuperset(within.intersection(t.plan.activities[name].depends_on))
    ]
    if ready:
        _start(t, ready)
    elif not t.state.open:
        _complete(t)


def _complete(t: Transition) -> None:
    t.add(facts.Ended(state=OrchestrationState.COMPLETED, output=output_of(t.plan, t.state)))


def _end_when_idle(t: Transition) -> None:
    if live(t.state):
        return
    if not t.state.failed_activity:
        by = f" by {t.state.cancelled_by}" if t.state.cancelled_by else ""
        reason = f": {t.state.cancel_reason}" if t.state.cancel_reason else ""
        _end(t, OrchestrationState.CANCELLED, f"cancelled{by}{reason}")
    elif t.state.cancelling or not compensation.begin(t):
        _end(t, OrchestrationState.ERRORED, f"activity '{t.state.failed_activity}': {t.state.error}")


def _end(t: Transition, state: OrchestrationState, error: str) -> None:
    t.add(facts.Ended(state=state, error=error, output=output_of(t.plan, t.state)))
