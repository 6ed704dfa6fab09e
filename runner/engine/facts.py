"""What happened: the entries of an orchestration's log.

A fact is a decision already taken, so folding needs no policy: a later version that decides differently still folds
old logs to the same state. `apply` is that fold's step; it is total and pure.
"""

from functools import singledispatch
from typing import Any

import msgspec
from msgspec.structs import replace

from runner.engine.state import ActivityState, Orchestration, OrchestrationState, Status


class Fact(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, tag_field="fact"):
    """The root of all facts."""


class Created(Fact, frozen=True, kw_only=True, tag="created"):
    """The manifest was taken."""

    oid: str
    type: str
    bundle: str
    correlation_id: str = ""
    input: dict[str, Any] = {}
    priority: int = 0
    only: list[str] = []
    by: str = ""


class Started(Fact, frozen=True, kw_only=True, tag="started"):
    """The orchestration runs."""


class TierStarted(Fact, frozen=True, kw_only=True, tag="tier"):
    """A tier begins with so many activities."""

    index: int
    size: int


class Dispatched(Fact, frozen=True, kw_only=True, tag="dispatched"):
    """A task is to be in the queue. ``cause`` says why again: retry, schedule, lost."""

    activity: str
    attempt: int = 1
    lease: int = 1
    polls: int = 0
    cause: str = ""


class Claimed(Fact, frozen=True, kw_only=True, tag="claimed"):
    """An agent took the task over from one that went silent."""

    activity: str
    lease: int
    delivery: int
    agent: str = ""


class Reported(Fact, frozen=True, kw_only=True):
    """What an accepted report brought, whichever result it was."""

    activity: str
    agent: str = ""
    delivery: int = 1
    started_millis: int = 0
    set: dict[str, Any] = {}
    deleted: list[str] = []
    outputs: dict[str, Any] = {}


class Completed(Reported, frozen=True, kw_only=True, tag="completed"):
    """The activity is done; its changes enter the shared context."""


class Waiting(Reported, frozen=True, kw_only=True, tag="waiting"):
    """The activity waits for its completion from outside, until ``due_millis`` (0: for ever)."""

    due_millis: int = 0


class Scheduled(Reported, frozen=True, kw_only=True, tag="scheduled"):
    """The activity is delivered again at ``due_millis``."""

    due_millis: int


class Retrying(Reported, frozen=True, kw_only=True, tag="retrying"):
    """A passing error; the next attempt is dispatched at ``due_millis``."""

    error: str
    due_millis: int


class Failed(Reported, frozen=True, kw_only=True, tag="failed"):
    """A fatal error."""

    error: str


class StopRequested(Fact, frozen=True, kw_only=True, tag="stopping"):
    """The agent that runs the activity is told to stop, and abandoned at ``due_millis``."""

    activity: str
    due_millis: int


class ActivityCancelled(Fact, frozen=True, kw_only=True, tag="activityCancelled"):
    """The activity ended without completing. ``abandoned``: its agent did not answer in time."""

    activity: str
    agent: str = ""
    error: str = ""
    abandoned: bool = False


class CancelRequested(Fact, frozen=True, kw_only=True, tag="cancelling"):
    """Somebody cancelled the orchestration."""

    by: str = ""
    reason: str = ""


class Ignored(Fact, frozen=True, kw_only=True, tag="ignored"):
    """A report without the live lease: recorded, changes nothing."""

    activity: str
    agent: str = ""
    attempt: int = 0
    lease: int = 0
    delivery: int = 0
    result: int = 0


class Warned(Fact, frozen=True, kw_only=True, tag="warned"):
    """Something a user should know."""

    text: str


class Ended(Fact, frozen=True, kw_only=True, tag="ended"):
    """A terminal state is reached."""

    state: OrchestrationState
    error: str = ""
    output: dict[str, Any] = {}


AnyFact = (
    Created
    | Started
    | TierStarted
    | Dispatched
    | Claimed
    | Completed
    | Waiting
    | Scheduled
    | Retrying
    | Failed
    | StopRequested
    | ActivityCancelled
    | CancelRequested
    | Ignored
    | Warned
    | Ended
)


def create(fact: Created, at_millis: int) -> Orchestration:
    """The state after the first fact of a log."""
    return Orchestration(
        oid=fact.oid,
        type=fact.type,
        bundle=fact.bundle,
        correlation_id=fact.correlation_id,
        created_millis=at_millis,
        state_millis=at_millis,
        priority=fact.priority,
        only=fact.only,
        by=fact.by,
        input=fact.input,
        values=fact.input,
    )


@singledispatch
def apply(fact: Fact, orchestration: Orchestration, at_millis: int) -> Orchestration:
    """The state after one more fact; ``at_millis`` is the time of the record that holds it."""
    del fact, at_millis
    return orchestration


@apply.register
def _(fact: Started, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del fact
    return replace(orchestration, state=OrchestrationState.RUNNING, state_millis=at_millis)


@apply.register
def _(fact: TierStarted, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    return replace(orchestration, tier=fact.index, open=orchestration.open + fact.size)


@apply.register
def _(fact: Dispatched, orchestration: Orchestration, at_millis: int) -> Orchestration:
    known = orchestration.activities.get(fact.activity)
    if known is None:
        activity = ActivityState(
            status=Status.QUEUED, attempt=fact.attempt, lease=fact.lease, dispatched_millis=at_millis
        )
    else:
        activity = replace(
            known,
            status=Status.QUEUED,
            attempt=fact.attempt,
            lease=fact.lease,
            polls=fact.polls,
            delivery=1,
            claims=0,
            due_millis=0,
            dispatched_millis=at_millis,
        )
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: Claimed, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    known = orchestration.activities[fact.activity]
    activity = replace(known, delivery=fact.delivery, agent=fact.agent, claims=known.claims + 1)
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: Completed, orchestration: Orchestration, at_millis: int) -> Orchestration:
    activity = replace(_ended(fact, orchestration, at_millis), status=Status.COMPLETED, error="")
    changed = replace(_with(orchestration, fact.activity, activity), open=orchestration.open - 1)
    if not activity.set and not activity.deleted:
        return changed
    values = {**orchestration.values, **activity.set}
    for key in activity.deleted:
        values.pop(key, None)
    writers = {**orchestration.writers, **dict.fromkeys([*activity.set, *activity.deleted], fact.activity)}
    return replace(changed, values=values, writers=writers)


@apply.register
def _(fact: Waiting, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    activity = replace(_staged(fact, orchestration), status=Status.WAITING, due_millis=fact.due_millis)
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: Scheduled, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    activity = replace(_staged(fact, orchestration), status=Status.SCHEDULED, due_millis=fact.due_millis)
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: Retrying, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    activity = replace(
        _staged(fact, orchestration), status=Status.RETRYING, due_millis=fact.due_millis, error=fact.error
    )
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: Failed, orchestration: Orchestration, at_millis: int) -> Orchestration:
    activity = replace(
        _ended(fact, orchestration, at_millis), status=Status.FAILED, error=fact.error, set={}, deleted=[], outputs={}
    )
    changed = _with(orchestration, fact.activity, activity)
    if orchestration.failed_activity:
        return changed
    return replace(changed, failed_activity=fact.activity, error=fact.error)


@apply.register
def _(fact: StopRequested, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    activity = replace(orchestration.activities[fact.activity], status=Status.STOPPING, due_millis=fact.due_millis)
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: ActivityCancelled, orchestration: Orchestration, at_millis: int) -> Orchestration:
    known = orchestration.activities[fact.activity]
    activity = replace(
        known,
        status=Status.CANCELLED,
        due_millis=0,
        ended_millis=at_millis,
        agent=fact.agent or known.agent,
        error=fact.error or known.error,
    )
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: CancelRequested, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    return replace(orchestration, cancelling=True, cancelled_by=fact.by, cancel_reason=fact.reason)


@apply.register
def _(fact: Warned, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    return replace(orchestration, warnings=[*orchestration.warnings, fact.text])


@apply.register
def _(fact: Ended, orchestration: Orchestration, at_millis: int) -> Orchestration:
    return replace(
        orchestration,
        state=fact.state,
        state_millis=at_millis,
        error=fact.error or orchestration.error,
        output=fact.output,
    )


def _with(orchestration: Orchestration, name: str, activity: ActivityState) -> Orchestration:
    return replace(orchestration, activities={**orchestration.activities, name: activity})


def _staged(fact: Reported, orchestration: Orchestration) -> ActivityState:
    known = orchestration.activities[fact.activity]
    staged = {key: value for key, value in known.set.items() if key not in fact.deleted}
    deleted = [key for key in known.deleted if key not in fact.set]
    return replace(
        known,
        polls=known.polls + isinstance(fact, Scheduled),
        delivery=fact.delivery,
        agent=fact.agent,
        started_millis=known.started_millis or fact.started_millis,
        set={**staged, **fact.set},
        deleted=deleted + [key for key in fact.deleted if key not in deleted],
        outputs={**known.outputs, **fact.outputs},
    )


def _ended(fact: Reported, orchestration: Orchestration, at_millis: int) -> ActivityState:
    return replace(_staged(fact, orchestration), due_millis=0, ended_millis=at_millis)
