"""What an activity report leads to, by its result."""

from collections.abc import Callable
from typing import Any

from runner.activity.result import ResultType
from runner.engine import facts
from runner.engine.completion import take_early
from runner.engine.data import output_problems
from runner.engine.plan import Plan
from runner.engine.retry import delay_millis
from runner.engine.state import ActivityState, Orchestration, Status, is_undo
from runner.engine.transition import Transition
from runner.protocol.messages import ClaimEvent, ReportEvent


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


def take_report(t: Transition, event: ReportEvent) -> None:
    """Accept a report with the live lease; record any other."""
    activity = t.state.activities.get(event.activity)
    if not holds_lease(t.state, event) or activity is None:
        _ignore(t, event, activity)
    elif activity.status is Status.STOPPING and ResultType(event.result) is not ResultType.COMPLETE:
        t.add(facts.ActivityCancelled(activity=event.activity, agent=event.agent, error=event.error))
    else:
        _RESULTS[ResultType(event.result)](t, event, activity)


def _ignore(t: Transition, event: ReportEvent, activity: ActivityState | None) -> None:
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
        "existing": event.existing,
        "heartbeat": event.heartbeat,
    }


def _on_complete(t: Transition, event: ReportEvent, activity: ActivityState) -> None:
    planned = t.plan.planned(event.activity)
    problems = output_problems(planned, {**activity.outputs, **event.outputs})
    if problems:
        _fail(t, event, f"its outputs violate the output schema of '{planned.type}': {problems}")
        return
    warn_of_conflicts(t, event.activity, {**activity.set, **event.set})
    t.add(facts.Completed(**_brought(event)))


def warn_of_conflicts(t: Transition, name: str, changed: dict[str, Any]) -> None:
    """Two activities that may run side by side wrote different values to one key: the last accepted stands."""
    for key, value in changed.items():
        writer = t.state.writers.get(key)
        if writer in (None, name) or t.state.values.get(key) == value or is_undo(name) or is_undo(writer or ""):
            continue
        if writer in _upstream(t.plan, name):
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


def _on_wait(t: Transition, event: ReportEvent, activity: ActivityState) -> None:
    timeout = t.plan.planned(event.activity).wait_timeout_millis
    t.add(facts.Waiting(**_brought(event), due_millis=t.now + timeout if timeout else 0))
    if activity.early is not None:
        take_early(t, event.activity, activity.early)


def _on_schedule(t: Transition, event: ReportEvent, activity: ActivityState) -> None:
    t.add(facts.Scheduled(**_brought(event), due_millis=t.now + max(0, event.delay_millis)))
    if event.delay_millis <= 0 and not t.state.paused:
        t.dispatch_again(event.activity, cause="schedule", attempt=activity.attempt)


def _on_retry(t: Transition, event: ReportEvent, activity: ActivityState) -> None:
    rule = t.plan.planned(event.activity).retry
    if activity.attempt >= rule.max_attempts:
        _fail(t, event, f"{event.error} (attempt {activity.attempt} of {rule.max_attempts}, none is left)")
        return
    due = t.now + delay_millis(rule, t.state.oid, event.activity, activity.attempt)
    t.add(facts.Retrying(**_brought(event), error=event.error, due_millis=due))
    if t.state.is_stopping and not is_undo(event.activity):
        t.add(facts.ActivityCancelled(activity=event.activity, agent=event.agent))


def _on_fatal(t: Transition, event: ReportEvent, activity: ActivityState) -> None:
    del activity
    _fail(t, event, event.error or "unspecified error")


def _fail(t: Transition, event: ReportEvent, error: str) -> None:
    t.add(facts.Failed(**_brought(event), error=error))
    after_failure(t, event.activity)


def after_failure(t: Transition, name: str) -> None:
    """What a fatal error does to the others; one of the compensation does nothing to them."""
    if not is_undo(name):
        t.stop_after_failure()


def take_claim(t: Transition, event: ClaimEvent) -> None:
    """An agent took a task over; one that kills its agents again and again is given up."""
    if not holds_lease(t.state, event):
        return
    activity = t.state.activities[event.activity]
    if activity.delivery == event.delivery:  # It asks whether it still has the lease that it was given.
        return
    if activity.claims + 1 >= t.plan.planned(event.activity).retry.max_attempts:
        error = f"its agent stopped answering {activity.claims + 1} times in a row while it ran"
        t.add(facts.Failed(activity=event.activity, agent=event.agent, delivery=event.delivery, error=error))
        after_failure(t, event.activity)
        return
    t.add(facts.Claimed(activity=event.activity, lease=event.lease, delivery=event.delivery, agent=event.agent))


_RESULTS: dict[ResultType, Callable[[Transition, ReportEvent, ActivityState], None]] = {
    ResultType.COMPLETE: _on_complete,
    ResultType.WAIT: _on_wait,
    ResultType.SCHEDULE: _on_schedule,
    ResultType.RETRY_ERROR: _on_retry,
    ResultType.FATAL_ERROR: _on_fatal,
}
