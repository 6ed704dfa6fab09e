"""The heart: which facts follow from one event.

Theory of operation
-------------------
``reduce(plan, orchestration, event, now)`` looks at what is and at what came, and returns the facts that follow and the
state after them. It has no clock, no I/O and no randomness; the time comes in. Events may be duplicated, delayed,
reordered, lost and sent again, so every rule asks first whether the event still concerns the state:

* A manifest for an orchestration that exists changes nothing.
* A report counts only with the live lease: the activity's current attempt and lease, and no lower a delivery than the
  highest known. A second copy of an accepted report is silent; any other stale one is recorded as ignored.
* A timer is not an event of its own: ``Tick`` says what time it is, and whatever is due happens.

What an activity does next is one of the transitions below; `advance` is called after each and alone decides whether
something starts or everything has ended.

========== ================== =========================================================================
status     event              facts
========== ================== =========================================================================
(pending)  its tier starts    dispatched
queued     report COMPLETE    completed, or failed when outputs violate the output schema
queued     report WAIT        waiting until the wait timeout
queued     report SCHEDULE    scheduled; with a delay of zero dispatched at once
queued     report RETRY       retrying, or failed when the attempts are used up
queued     report FATAL       failed
queued     claim              claimed; failed when its agents died as often as it has attempts
queued     completion         completed early: kept until the report that says Wait
queued     lost               dispatched again with the next lease
scheduled  due                dispatched, same attempt, next lease
retrying   due                dispatched, next attempt, next lease
waiting    completion         completed, failed, data given, or refused
waiting    due                failed
queued     cancel             stopping until the grace ends
scheduled  cancel             dispatched, so that its processor hears of it, and stopping
others     cancel             activity cancelled
stopping   report COMPLETE    completed (it did happen)
stopping   any other report   activity cancelled
stopping   lost               dispatched again with the next lease, and stopping
stopping   due                activity cancelled, abandoned
========== ================== =========================================================================

The orchestration: running while anything may still start (paused: nothing starts, nothing that waits for a timer goes
on); once a fatal error or a cancellation stands nothing starts any more, and when the last live activity has ended it
is cancelled, or its compensation runs and it is compensated or errored. Terminal states absorb everything but a retry,
which begins the next generation.

Source: The Orchestrator, "Activity Executors"; architecture, "What must always hold".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.engine import facts
from runner.engine.advancing import advance
from runner.engine.commands import HELD_WHILE_PAUSED, take_command
from runner.engine.completion import take_completion
from runner.engine.plan import Plan
from runner.engine.reports import after_failure, holds_lease, take_claim, take_report
from runner.engine.state import ActivityState, Orchestration, OrchestrationState, Status, live
from runner.engine.transition import STOP_GRACE_MILLIS, Transition
from runner.model.schema import violations
from runner.protocol.messages import ClaimEvent, CommandEvent, CompletionEvent, ManifestEvent, ReportEvent

__all__ = ["STOP_GRACE_MILLIS", "Input", "Lost", "Tick", "holds_lease", "reduce"]


@dataclass(frozen=True, slots=True)
class Tick:
    """What time it is: whatever is due happens."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The sweeper found that nobody has the task of this lease."""

    activity: str
    lease: int


Input = ManifestEvent | ReportEvent | ClaimEvent | CommandEvent | CompletionEvent | Tick | Lost


def reduce(
    plan: Plan, orchestration: Orchestration | None, event: Input, now: int
) -> tuple[Orchestration | None, tuple[facts.Fact, ...]]:
    """The state after ``event`` and the facts that led there; no facts when the event changes nothing.

    Args:
        plan: The definition the orchestration runs (for a manifest: the one it asks for).
        orchestration: The state so far; None before the manifest.
        event: What came.
        now: Milliseconds since 1970, UTC.
    """
    transition = Transition(plan, orchestration, now)
    if isinstance(event, ManifestEvent):
        if orchestration is not None:
            return orchestration, ()
        _create(transition, event)
    elif orchestration is None or (orchestration.is_terminal and not isinstance(event, ReportEvent | CommandEvent)):
        return orchestration, ()
    else:
        _RULES[type(event)](transition, event)
        if transition.facts:
            advance(transition)
    return transition.state, tuple(transition.facts)


def _create(t: Transition, event: ManifestEvent) -> None:
    data = {**t.plan.input, **event.payload}
    t.add(
        facts.Created(
            oid=event.oid,
            type=t.plan.type,
            bundle=t.plan.digest,
            correlation_id=event.correlation_id,
            input=data,
            priority=event.priority,
            only=event.only,
            by=event.by,
        )
    )
    if refusal := _refusal(t.plan, event, data):
        t.add(facts.Ended(state=OrchestrationState.ERRORED, error=refusal))
        return
    t.add(facts.Started())
    advance(t)


def _refusal(plan: Plan, event: ManifestEvent, data: dict[str, Any]) -> str:
    if not plan.active:
        return f"starting orchestration '{event.oid}': the definition '{plan.type}' is not active"
    unknown = [name for name in event.only if name not in plan.activities]
    if unknown:
        return f"starting orchestration '{event.oid}': '{plan.type}' has no activity {', '.join(unknown)}"
    problems = violations(plan.schema, data) if plan.schema else []
    if problems:
        listed = "; ".join(str(problem) for problem in problems)
        return f"starting orchestration '{event.oid}' of type '{plan.type}': the inputs are invalid: {listed}"
    return ""


def _lost(t: Transition, event: Lost) -> None:
    activity = t.state.activities.get(event.activity)
    if activity is None or activity.lease != event.lease or activity.status not in (Status.QUEUED, Status.STOPPING):
        return
    t.dispatch_again(event.activity, cause="lost", attempt=activity.attempt)
    if activity.status is Status.STOPPING:  # Its processor hears of it from the task; the grace stays what it was.
        t.add(facts.StopRequested(activity=event.activity, due_millis=activity.due_millis))


def _tick(t: Transition, event: Tick) -> None:
    del event
    for name, _ in live(t.state):
        activity = t.state.activities[name]  # An earlier one that was due may have stopped this one.
        if t.state.paused and activity.status in HELD_WHILE_PAUSED:
            continue
        if activity.due_millis and activity.due_millis <= t.now:
            _TIMERS[activity.status](t, name, activity)


def _schedule_due(t: Transition, name: str, activity: ActivityState) -> None:
    t.dispatch_again(name, cause="schedule", attempt=activity.attempt)


def _retry_due(t: Transition, name: str, activity: ActivityState) -> None:
    t.dispatch_again(name, cause="retry", attempt=activity.attempt + 1)


def _wait_due(t: Transition, name: str, activity: ActivityState) -> None:
    timeout = t.plan.planned(name).wait_timeout_millis
    t.add(
        facts.Failed(
            activity=name,
            agent=activity.agent,
            delivery=activity.delivery,
            error=f"it waited {timeout} ms for its completion from outside, and none came",
        )
    )
    after_failure(t, name)


def _stop_due(t: Transition, name: str, activity: ActivityState) -> None:
    t.add(
        facts.ActivityCancelled(
            activity=name, agent=activity.agent, abandoned=True, error="its agent did not stop it in time; abandoned"
        )
    )


_RULES: dict[type, Callable[[Transition, Any], None]] = {
    ReportEvent: take_report,
    ClaimEvent: take_claim,
    CommandEvent: take_command,
    CompletionEvent: take_completion,
    Lost: _lost,
    Tick: _tick,
}

_TIMERS: dict[Status, Callable[[Transition, str, ActivityState], None]] = {
    Status.SCHEDULED: _schedule_due,
    Status.RETRYING: _retry_due,
    Status.WAITING: _wait_due,
    Status.STOPPING: _stop_due,
}
