"""What people ask of an orchestration: cancel, retry, pause, resume."""

from runner.engine import facts
from runner.engine.state import OrchestrationState, Status
from runner.engine.transition import Transition
from runner.graph.tiers import downstream
from runner.protocol.messages import CommandEvent


def take_command(t: Transition, event: CommandEvent) -> None:
    """Carry a command out; one that makes no sense in this state changes nothing."""
    _RULES[event.command](t, event)


def _cancel(t: Transition, event: CommandEvent) -> None:
    if t.state.is_terminal or t.state.cancelling or t.state.state is OrchestrationState.COMPENSATING:
        return
    t.add(facts.CancelRequested(by=event.by, reason=event.reason))
    t.stop_everything()


def _retry(t: Transition, event: CommandEvent) -> None:
    if not can_retry(t, event.activity):
        return
    rerun = {*t.state.undone, *t.state.not_undone}
    if event.activity:
        pairs = [(one.id, one.depends_on) for one in t.plan.activities.values()]
        rerun |= {event.activity, *downstream(pairs, [event.activity])}
    t.add(facts.Retried(generation=t.state.generation + 1, rerun=sorted(rerun), by=event.by, reason=event.reason))


def can_retry(t: Transition, activity: str) -> bool:
    """Whether an ended orchestration may begin its next generation (from ``activity`` on, when that is named)."""
    if not t.state.is_terminal or not t.state.activities:
        return False
    if activity:
        return activity in t.plan.activities
    return t.state.state is not OrchestrationState.COMPLETED


def _pause(t: Transition, event: CommandEvent) -> None:
    if t.state.is_terminal or t.state.is_stopping or t.state.paused:
        return
    t.add(facts.Paused(by=event.by, reason=event.reason))


def _resume(t: Transition, event: CommandEvent) -> None:
    if t.state.is_terminal or not t.state.paused:
        return
    t.add(facts.Resumed(by=event.by))


_RULES = {"cancel": _cancel, "retry": _retry, "pause": _pause, "resume": _resume}

HELD_WHILE_PAUSED = (Status.SCHEDULED, Status.RETRYING)
"""Timers that fire only once the orchestration is resumed."""
