"""A Wait completed, failed or given data from outside.

Whoever completes holds the token of the activity's lease; the shell checks it. A completion may overtake the report that
says Wait: then it is kept and taken when that report comes.
"""

from typing import Any

import msgspec

from runner.engine import facts
from runner.engine.data import output_problems
from runner.engine.state import Status, is_undo
from runner.engine.transition import Transition
from runner.protocol.messages import CompletionEvent


def take_completion(t: Transition, event: CompletionEvent) -> None:
    """Take a completion whose token was right."""
    activity = t.state.activities.get(event.activity)
    if activity is None or activity.status not in (Status.WAITING, Status.QUEUED):
        _refuse(t, event, "the activity does not wait any more")
    elif activity.status is Status.QUEUED:
        if activity.early is None:
            kept = msgspec.to_builtins(event)
            t.add(facts.CompletedEarly(activity=event.activity, completion={**kept, "token": "", "reply": ""}))
    else:
        _RULES[event.outcome](t, event)


def take_early(t: Transition, name: str, kept: dict[str, Any]) -> None:
    """The activity has said Wait: what came before that is taken now."""
    event = msgspec.convert({**kept, "activity": name}, CompletionEvent)
    _RULES[event.outcome](t, event)


def _refuse(t: Transition, event: CompletionEvent, reason: str) -> None:
    t.add(facts.CompletionRefused(activity=event.activity, reason=reason, by=event.by))


def _complete(t: Transition, event: CompletionEvent) -> None:
    activity = t.state.activities[event.activity]
    planned = t.plan.planned(event.activity)
    problems = output_problems(planned, {**activity.outputs, **event.outputs})
    if problems:
        _refuse(t, event, f"the outputs violate the output schema of '{planned.type}': {problems}")
        return
    t.add(
        facts.Completed(
            activity=event.activity,
            agent=event.by or "outside",
            delivery=activity.delivery,
            set=event.set,
            outputs=event.outputs,
        )
    )


def _fail(t: Transition, event: CompletionEvent) -> None:
    activity = t.state.activities[event.activity]
    error = event.error or "failed from outside, without a reason"
    t.add(facts.Failed(activity=event.activity, agent=event.by or "outside", delivery=activity.delivery, error=error))
    if not is_undo(event.activity):
        t.stop_after_failure()


def _give(t: Transition, event: CompletionEvent) -> None:
    t.add(facts.DataGiven(activity=event.activity, by=event.by, set=event.set, outputs=event.outputs))


_RULES = {"complete": _complete, "fail": _fail, "data": _give}
