"""Invariants of the course of events: what may happen when, and what may never happen again.

Sources: architecture, "What must always hold"; the table of transitions in `runner/engine/reducer.py`.
"""

from simulation.evidence import Evidence, Transition
from simulation.moments import RESULTS, Violations, is_the_engines_own, moments

from runner.engine import facts as f
from runner.engine.state import ENDED, Status

_WOKEN_SECONDS = 3.0


def no_activity_starts_before_what_it_depends_on_has_completed(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        if not isinstance(moment.fact, f.Dispatched):
            continue
        name = moment.fact.activity
        chosen = set(moment.state.only or moment.plan.activities)
        if name not in chosen:
            yield f"{moment}: it was left out"
        needed = chosen.intersection(moment.plan.activities[name].depends_on)
        if not moment.plan.eager:
            tier = next(n for n, names in enumerate(moment.plan.tiers) if name in names)
            needed = {other for names in moment.plan.tiers[:tier] for other in names if other in chosen}
        known = moment.state.activities
        missing = [one for one in needed if one not in known or known[one].status is not Status.COMPLETED]
        if missing:
            yield f"{moment}: {missing} had not completed"


def what_has_ended_stays_so(evidence: Evidence) -> Violations:
    """An activity that completed, failed or was cancelled is never dispatched again, and gets no second result."""
    for moment in moments(evidence):
        if isinstance(moment.fact, f.Ignored) or not hasattr(moment.fact, "activity"):
            continue
        activity = moment.activity()
        if activity is not None and activity.status in ENDED:
            yield f"{moment}: it was {activity.status}"


def there_is_exactly_one_terminal_state_and_nothing_after_it(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        if moment.state.is_terminal:
            yield f"{moment}: it had ended as {moment.state.state.name}"


def a_report_counts_only_with_the_live_lease(evidence: Evidence) -> Violations:
    """The event behind every accepted result carries the activity's lease, and no lower a delivery than known."""
    for moment in moments(evidence):
        fact = moment.fact
        if not isinstance(fact, RESULTS) or is_the_engines_own(fact):
            continue
        activity = moment.activity()
        generation = moment.state.generation
        event = f"{moment.oid}/{generation}/{fact.activity}/{activity.lease}/{fact.delivery}/{fact.agent}"
        if activity.status not in (Status.QUEUED, Status.STOPPING):
            yield f"{moment}: it was {activity.status}"
        if event not in moment.transition.record.events:
            yield f"{moment}: lease {activity.lease}, but the events are {moment.transition.record.events}"
        if fact.delivery < activity.delivery:
            yield f"{moment}: delivery {activity.delivery} was known"


def attempts_and_leases_grow_one_by_one_and_attempts_are_limited(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        fact = moment.fact
        if not isinstance(fact, f.Dispatched):
            continue
        known = moment.activity()
        retried = known is not None and known.status is Status.RETRYING
        wanted = (1, 1) if known is None else (known.attempt + retried, known.lease + 1)
        if (fact.attempt, fact.lease) != wanted:
            yield f"{moment}: attempt and lease should be {wanted}"
        if fact.attempt > moment.plan.activities[fact.activity].retry.max_attempts:
            yield f"{moment}: more attempts than the policy allows"


def a_retry_error_is_retried_while_attempts_are_left(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        fact = moment.fact
        limited = isinstance(fact, f.Failed) and ", none is left)" in fact.error
        if limited and moment.activity().attempt != moment.plan.activities[fact.activity].retry.max_attempts:
            yield f"{moment}: there were attempts left"
        if isinstance(fact, f.Retrying):
            rule = moment.plan.activities[fact.activity].retry
            interval = min(
                rule.initial_millis * rule.coefficient ** (moment.activity().attempt - 1), rule.max_interval_millis
            )
            delay = fact.due_millis - moment.transition.record.at_millis
            if not 0.8 * interval - 1 <= delay <= interval + 1:
                yield f"{moment}: a delay of {delay} ms instead of about {interval} ms"


def nothing_happens_before_its_time(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        fact = moment.fact
        known = moment.activity() if hasattr(fact, "activity") else None
        if known is None or not known.due_millis or moment.transition.record.at_millis >= known.due_millis:
            continue
        if isinstance(fact, f.Dispatched) and fact.cause in ("retry", "schedule") and fact.lease != known.lease:
            if known.due_millis != moment.transition.record.at_millis:
                yield f"{moment}: it was due at {known.due_millis}, this is {moment.transition.record.at_millis}"
        elif isinstance(fact, f.Failed) and "it waited" in fact.error:
            yield f"{moment}: it might have waited until {known.due_millis}"
        elif isinstance(fact, f.ActivityCancelled) and fact.abandoned:
            yield f"{moment}: it had until {known.due_millis}"


def what_is_due_happens_soon(evidence: Evidence) -> Violations:
    """Once the storm is over, with clocks that never stepped, nothing waits long for its time."""
    if any(mishap.what == "clock" for mishap in evidence.scenario.mishaps) or not evidence.scenario.mishaps:
        bound = 60_000 if evidence.scenario.mishaps else 30_000
    else:
        bound = 40_000
    for moment in moments(evidence):
        fact = moment.fact
        if isinstance(fact, f.Dispatched) and fact.cause in ("retry", "schedule"):
            late = moment.transition.record.at_millis - moment.activity().due_millis
            if late > bound:
                yield f"{moment}: {late} ms late"


def after_a_fatal_error_or_a_cancel_nothing_new_starts(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        stopped = any(a.status is Status.FAILED for a in moment.state.activities.values()) or moment.state.cancelling
        if not stopped:
            continue
        if isinstance(moment.fact, f.TierStarted):
            yield f"{moment}: a tier started"
        if isinstance(moment.fact, f.Dispatched) and (moment.activity() is None or moment.fact.cause == "retry"):
            yield f"{moment}: it started"


def siblings_of_a_failed_activity_are_treated_as_the_definition_says(evidence: Evidence) -> Violations:
    for moment in moments(evidence):
        if not isinstance(moment.fact, f.StopRequested) or moment.state.cancelling:
            continue
        if not moment.plan.cancel_siblings:
            yield f"{moment}: the definition lets siblings drain"


def nothing_is_done_again_after_its_completion_was_stored(evidence: Evidence) -> Violations:
    """No processor begins once its activity has ended.

    An agent that was just woken cannot know and is excused; so is one that had its copy of the task already, on a bus
    that delivers two at once.
    """
    ended: dict[tuple[str, str], Transition] = {}
    for moment in moments(evidence):
        if isinstance(moment.fact, f.Completed | f.Failed):
            ended[moment.oid, moment.fact.activity] = moment.transition
    grace = _WOKEN_SECONDS if evidence.scenario.faults.duplicated else 0.0
    for effect in evidence.ledger:
        end = ended.get((effect.oid, effect.activity))
        if end is None or effect.mark < end.sequence or effect.at - effect.thawed_at <= _WOKEN_SECONDS:
            continue
        if effect.at - end.at >= grace:
            yield f"{effect}: it had ended with sequence {end.sequence} at {end.at:.3f} s"


def a_task_that_an_agent_runs_never_counts_as_lost(evidence: Evidence) -> Violations:
    """The sweeper dispatches again only what no living agent works on with the newest delivery."""
    for moment in moments(evidence):
        fact = moment.fact
        if not isinstance(fact, f.Dispatched) or fact.cause != "lost":
            continue
        known = moment.activity()
        for effect in evidence.ledger:
            same = (effect.oid, effect.activity, effect.attempt, effect.polls, effect.delivery)
            if same != (moment.oid, fact.activity, known.attempt, known.polls, known.delivery):
                continue
            if effect.mark < moment.transition.sequence and moment.transition.at < effect.until:
                yield f"{moment}: {effect}"
