"""The fold's step: the state after one more fact. Total and pure."""

from functools import singledispatch

from msgspec.structs import replace

from runner.engine.facts import (
    ActivityCancelled,
    CancelRequested,
    Claimed,
    CompensationStarted,
    Completed,
    CompletedEarly,
    Created,
    DataGiven,
    Dispatched,
    Ended,
    Fact,
    Failed,
    Paused,
    Reported,
    Resumed,
    Retried,
    Retrying,
    Scheduled,
    Skipped,
    Started,
    StopRequested,
    TierStarted,
    Waiting,
    Warned,
)
from runner.engine.state import ActivityState, Orchestration, OrchestrationState, Status, is_undo


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
    if is_undo(fact.activity):
        return replace(changed, open=changed.open - 1)
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
def _(fact: CompletedEarly, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    return _with(orchestration, fact.activity, replace(orchestration.activities[fact.activity], early=fact.completion))


@apply.register
def _(fact: DataGiven, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del at_millis
    known = orchestration.activities[fact.activity]
    activity = replace(known, set={**known.set, **fact.set}, outputs={**known.outputs, **fact.outputs})
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: CompensationStarted, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del fact
    return replace(orchestration, state=OrchestrationState.COMPENSATING, state_millis=at_millis, tier=-1, open=0)


@apply.register
def _(fact: Skipped, orchestration: Orchestration, at_millis: int) -> Orchestration:
    activity = ActivityState(status=Status.CANCELLED, error=fact.error, ended_millis=at_millis)
    return _with(orchestration, fact.activity, activity)


@apply.register
def _(fact: Retried, orchestration: Orchestration, at_millis: int) -> Orchestration:
    kept = {
        name: activity
        for name, activity in orchestration.activities.items()
        if activity.status is Status.COMPLETED and name not in fact.rerun and not is_undo(name)
    }
    return replace(
        orchestration,
        generation=fact.generation,
        state=OrchestrationState.RUNNING,
        state_millis=at_millis,
        activities=kept,
        tier=-1,
        open=0,
        error="",
        failed_activity="",
        cancelling=False,
        cancelled_by="",
        cancel_reason="",
        paused=False,
        output={},
        undone=[],
        not_undone={},
    )


@apply.register
def _(fact: Paused, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del fact, at_millis
    return replace(orchestration, paused=True)


@apply.register
def _(fact: Resumed, orchestration: Orchestration, at_millis: int) -> Orchestration:
    del fact, at_millis
    return replace(orchestration, paused=False)


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
        undone=fact.undone,
        not_undone=fact.not_undone,
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
        existing=known.existing or fact.existing,
        heartbeat=fact.heartbeat if fact.heartbeat is not None else known.heartbeat,
    )


def _ended(fact: Reported, orchestration: Orchestration, at_millis: int) -> ActivityState:
    return replace(_staged(fact, orchestration), due_millis=0, ended_millis=at_millis)
