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

What an activity does next is one of the transitions below; `_advance` is called after each and alone decides whether
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
queued     lost               dispatched again with the next lease
scheduled  due                dispatched, same attempt, next lease
retrying   due                dispatched, next attempt, next lease
waiting    due                failed
queued     cancel             stopping until the grace ends
scheduled  cancel             dispatched, so that its processor hears of it, and stopping
others     cancel             activity cancelled
stopping   report COMPLETE    completed (it did happen)
stopping   any other report   activity cancelled
stopping   due                activity cancelled, abandoned
========== ================== =========================================================================

The orchestration: running while anything may still start; once a fatal error or a cancellation stands nothing starts
any more, and when the last live activity has ended it is errored or cancelled. Terminal states absorb everything.

Source: The Orchestrator, "Activity Executors"; architecture, "What must always hold".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.activity.result import ResultType
from runner.engine import facts
from runner.engine.data import output_of, output_problems
from runner.engine.plan import Plan
from runner.engine.retry import delay_millis
from runner.engine.state import ActivityState, Orchestration, OrchestrationState, Status, live
from runner.model.schema import violations
from runner.protocol.messages import ClaimEvent, CommandEvent, ManifestEvent, ReportEvent

STOP_GRACE_MILLIS = 330_000
"""How long an agent may take to stop what it runs: Terraform's five minutes, and then some."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What time it is: whatever is due happens."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The sweeper found that nobody has the task of this lease."""

    activity: str
    lease: int


Input = ManifestEvent | ReportEvent | ClaimEvent | CommandEvent | Tick | Lost


class _Transition:
    """The facts so far and the state after them."""

    def __init__(self, plan: Plan, state: Orchestration | None, now: int) -> None:
        self.plan = plan
        self.now = now
        self.facts: list[facts.Fact] = []
        self._state = state

    @property
    def state(self) -> Orchestration:
        assert self._state is not None  # noqa: S101 - every rule but the manifest's is guarded in reduce
        return self._state

    def add(self, fact: facts.Fact) -> None:
        self.facts.append(fact)
        if isinstance(fact, facts.Created):
            self._state = facts.create(fact, self.now)
        else:
            self._state = facts.apply(fact, self.state, self.now)


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
    transition = _Transition(plan, orchestration, now)
    if isinstance(event, ManifestEvent):
        if orchestration is not None:
            return orchestration, ()
        _create(transition, event)
    elif orchestration is None or (orchestration.is_terminal and not isinstance(event, ReportEvent)):
        return orchestration, ()
    else:
        _RULES[type(event)](transition, event)
    return transition.state, tuple(transition.facts)


def holds_lease(orchestration: Orchestration | None, event: ClaimEvent | ReportEvent) -> bool:
    """Whether the event's lease is the live one."""
    if orchestration is None or orchestration.is_terminal or orchestration.generation != event.generation:
        return False
    activity = orchestration.activities.get(event.activity)
    return (
        activity is not None
        and activity.status in (Status.QUEUED, Status.STOPPING)
        and activity.attempt == event.attempt
        and activity.lease == event.lease
        and activity.delivery <= event.delivery
    )


def _create(t: _Transition, event: ManifestEvent) -> None:
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
    _advance(t)


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


def _advance(t: _Transition) -> None:
    """Start what may start, or end what has nothing left to do. Does nothing in a terminal state."""
    if t.state.is_terminal:
        return
    if t.state.is_stopping:
        _end_when_idle(t)
        return
    if t.plan.eager:
        _start_ready(t)
    else:
        _start_tier(t)


def _start_tier(t: _Transition) -> None:
    if t.state.open:
        return
    tiers = t.plan.tiers_of(t.state.only)
    following = t.state.tier + 1
    if following == len(tiers):
        _complete(t)
        return
    t.add(facts.TierStarted(index=following, size=len(tiers[following])))
    for name in tiers[following]:
        t.add(facts.Dispatched(activity=name))


def _start_ready(t: _Transition) -> None:
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
        t.add(facts.TierStarted(index=t.state.tier + 1, size=len(ready)))
        for name in ready:
            t.add(facts.Dispatched(activity=name))
    elif not t.state.open:
        _complete(t)


def _complete(t: _Transition) -> None:
    t.add(facts.Ended(state=OrchestrationState.COMPLETED, output=output_of(t.plan, t.state)))


def _end_when_idle(t: _Transition) -> None:
    if live(t.state):
        return
    if t.state.failed_activity:
        error = f"activity '{t.state.failed_activity}': {t.state.error}"
        t.add(facts.Ended(state=OrchestrationState.ERRORED, error=error, output=output_of(t.plan, t.state)))
        return
    by = f" by {t.state.cancelled_by}" if t.state.cancelled_by else ""
    reason = f": {t.state.cancel_reason}" if t.state.cancel_reason else ""
    t.add(
        facts.Ended(
            state=OrchestrationState.CANCELLED, error=f"cancelled{by}{reason}", output=output_of(t.plan, t.state)
        )
    )


def _report(t: _Transition, event: ReportEvent) -> None:
    activity = t.state.activities.get(event.activity)
    if not holds_lease(t.state, event) or activity is None:
        _ignore(t, event, activity)
        return
    if activity.status is Status.STOPPING and ResultType(event.result) is not ResultType.COMPLETE:
        t.add(facts.ActivityCancelled(activity=event.activity, agent=event.agent, error=event.error))
    else:
        _RESULTS[ResultType(event.result)](t, event, activity)
    _advance(t)


def _ignore(t: _Transition, event: ReportEvent, activity: ActivityState | None) -> None:
    """Record a stale report, unless it is a copy of the one that was accepted last."""
    copy = (
        activity is not None
        and activity.status is not Status.QUEUED
        and (activity.attempt, activity.lease, activity.delivery, activity.agent)
        == (event.attempt, event.lease, event.delivery, event.agent)
    )
    if copy or t.state.generation != event.generation or t.state.is_terminal:
        return
    t.add(
        facts.Ignored(
            activity=event.activity,
            agent=event.agent,
            attempt=event.attempt,
            lease=event.lease,
            delivery=event.delivery,
            result=event.result,
        )
    )


def _brought(event: ReportEvent) -> dict[str, Any]:
    return {
        "activity": event.activity,
        "agent": event.agent,
        "delivery": event.delivery,
        "started_millis": event.started_millis,
        "set": event.set,
        "deleted": event.deleted,
        "outputs": event.outputs,
    }


def _on_complete(t: _Transition, event: ReportEvent, activity: ActivityState) -> None:
    outputs = {**activity.outputs, **event.outputs}
    problems = output_problems(t.plan.activities[event.activity], outputs)
    if problems:
        _fail(
            t, event, f"its outputs violate the output schema of '{t.plan.activities[event.activity].type}': {problems}"
        )
        return
    _warn_of_conflicts(t, event.activity, {**activity.set, **event.set})
    t.add(facts.Completed(**_brought(event)))


def _warn_of_conflicts(t: _Transition, name: str, changed: dict[str, Any]) -> None:
    """Two activities that may run side by side wrote different values to one key: the last accepted stands."""
    for key, value in changed.items():
        writer = t.state.writers.get(key)
        if writer in (None, name) or t.state.values.get(key) == value or writer in _upstream(t.plan, name):
            continue
        t.add(
            facts.Warned(
                text=f"activities '{writer}' and '{name}' set context key '{key}' to different values; "
                f"the value of '{name}', accepted last, stands"
            )
        )


def _upstream(plan: Plan, name: str) -> set[str]:
    found: set[str] = set()
    stack = list(plan.activities[name].depends_on)
    while stack:
        current = stack.pop()
        if current not in found:
            found.add(current)
            stack += plan.activities[current].depends_on
    return found


def _on_wait(t: _Transition, event: ReportEvent, activity: ActivityState) -> None:
    del activity
    timeout = t.plan.activities[event.activity].wait_timeout_millis
    t.add(facts.Waiting(**_brought(event), due_millis=t.now + timeout if timeout else 0))


def _on_schedule(t: _Transition, event: ReportEvent, activity: ActivityState) -> None:
    t.add(facts.Scheduled(**_brought(event), due_millis=t.now + max(0, event.delay_millis)))
    if event.delay_millis <= 0:
        _dispatch_again(t, event.activity, cause="schedule", attempt=activity.attempt)


def _on_retry(t: _Transition, event: ReportEvent, activity: ActivityState) -> None:
    rule = t.plan.activities[event.activity].retry
    if activity.attempt >= rule.max_attempts:
        _fail(t, event, f"{event.error} (attempt {activity.attempt} of {rule.max_attempts}, none is left)")
        return
    due = t.now + delay_millis(rule, t.state.oid, event.activity, activity.attempt)
    t.add(facts.Retrying(**_brought(event), error=event.error, due_millis=due))
    if t.state.is_stopping:
        t.add(facts.ActivityCancelled(activity=event.activity, agent=event.agent))


def _on_fatal(t: _Transition, event: ReportEvent, activity: ActivityState) -> None:
    del activity
    _fail(t, event, event.error or "unspecified error")


def _fail(t: _Transition, event: ReportEvent, error: str) -> None:
    t.add(facts.Failed(**_brought(event), error=error))
    _stop_after_failure(t)


def _stop_after_failure(t: _Transition) -> None:
    """After a fatal error: what runs (a poll included) drains or is told to stop; what waits otherwise ends now."""
    for name, activity in live(t.state):
        if t.plan.cancel_siblings or activity.status not in (Status.QUEUED, Status.SCHEDULED):
            _stop(t, name, activity)


def _stop(t: _Transition, name: str, activity: ActivityState) -> None:
    """Stop one live activity. One between two polls is dispatched once more, so that its processor hears of it."""
    if activity.status is Status.STOPPING:
        return
    if activity.status in (Status.WAITING, Status.RETRYING):
        t.add(facts.ActivityCancelled(activity=name))
        return
    if activity.status is Status.SCHEDULED:
        _dispatch_again(t, name, cause="cancel", attempt=activity.attempt)
    t.add(facts.StopRequested(activity=name, due_millis=t.now + STOP_GRACE_MILLIS))


def _dispatch_again(t: _Transition, name: str, *, cause: str, attempt: int) -> None:
    activity = t.state.activities[name]
    polls = activity.polls if attempt == activity.attempt else 0
    t.add(facts.Dispatched(activity=name, attempt=attempt, lease=activity.lease + 1, polls=polls, cause=cause))


def _claim(t: _Transition, event: ClaimEvent) -> None:
    if not holds_lease(t.state, event):
        return
    activity = t.state.activities[event.activity]
    if activity.delivery == event.delivery and activity.agent == event.agent:
        return
    limit = t.plan.activities[event.activity].retry.max_attempts
    if activity.claims + 1 >= limit:
        error = f"its agent stopped answering {activity.claims + 1} times in a row while it ran"
        t.add(facts.Failed(activity=event.activity, agent=event.agent, delivery=event.delivery, error=error))
        _stop_after_failure(t)
        _advance(t)
        return
    t.add(facts.Claimed(activity=event.activity, lease=event.lease, delivery=event.delivery, agent=event.agent))


def _cancel(t: _Transition, event: CommandEvent) -> None:
    if t.state.cancelling:
        return
    t.add(facts.CancelRequested(by=event.by, reason=event.reason))
    for name, activity in live(t.state):
        _stop(t, name, activity)
    _advance(t)


def _lost(t: _Transition, event: Lost) -> None:
    activity = t.state.activities.get(event.activity)
    if activity is None or activity.lease != event.lease or activity.status is not Status.QUEUED:
        return
    _dispatch_again(t, event.activity, cause="lost", attempt=activity.attempt)


def _tick(t: _Transition, event: Tick) -> None:
    del event
    for name, _ in live(t.state):
        activity = t.state.activities[name]  # An earlier one that was due may have stopped this one.
        if activity.due_millis and activity.due_millis <= t.now:
            _TIMERS[activity.status](t, name, activity)
    _advance(t)


def _schedule_due(t: _Transition, name: str, activity: ActivityState) -> None:
    _dispatch_again(t, name, cause="schedule", attempt=activity.attempt)


def _retry_due(t: _Transition, name: str, activity: ActivityState) -> None:
    _dispatch_again(t, name, cause="retry", attempt=activity.attempt + 1)


def _wait_due(t: _Transition, name: str, activity: ActivityState) -> None:
    timeout = t.plan.activities[name].wait_timeout_millis
    t.add(
        facts.Failed(
            activity=name,
            agent=activity.agent,
            delivery=activity.delivery,
            error=f"it waited {timeout} ms for its completion from outside, and none came",
        )
    )
    _stop_after_failure(t)


def _stop_due(t: _Transition, name: str, activity: ActivityState) -> None:
    t.add(
        facts.ActivityCancelled(
            activity=name, agent=activity.agent, abandoned=True, error="its agent did not stop it in time; abandoned"
        )
    )


_Rule = Callable[[_Transition, Any], None]

_RULES: dict[type, _Rule] = {
    ReportEvent: _report,
    ClaimEvent: _claim,
    CommandEvent: _cancel,
    Lost: _lost,
    Tick: _tick,
}

_RESULTS: dict[ResultType, Callable[[_Transition, ReportEvent, ActivityState], None]] = {
    ResultType.COMPLETE: _on_complete,
    ResultType.WAIT: _on_wait,
    ResultType.SCHEDULE: _on_schedule,
    ResultType.RETRY_ERROR: _on_retry,
    ResultType.FATAL_ERROR: _on_fatal,
}

_TIMERS: dict[Status, Callable[[_Transition, str, ActivityState], None]] = {
    Status.SCHEDULED: _schedule_due,
    Status.RETRYING: _retry_due,
    Status.WAITING: _wait_due,
    Status.STOPPING: _stop_due,
}
