"""What must hold after every run, whatever went wrong in it: one function per invariant, listed in `ALL`.

Each takes the evidence and yields what violates it, one sentence each. They read the log fact by fact and trust nothing
that the engine computed beside it.
"""

from collections.abc import Callable

from simulation import course, results
from simulation.evidence import Evidence
from simulation.moments import Violations

Invariant = Callable[[Evidence], Violations]


ALL: tuple[Invariant, ...] = (
    results.nobody_met_a_defect,
    course.no_activity_starts_before_what_it_depends_on_has_completed,
    course.what_has_ended_stays_so,
    course.there_is_exactly_one_terminal_state_and_nothing_after_it,
    results.the_response_is_stored_once_and_right,
    course.a_report_counts_only_with_the_live_lease,
    results.the_state_is_the_fold_of_the_log_on_every_engine,
    course.attempts_and_leases_grow_one_by_one_and_attempts_are_limited,
    course.a_retry_error_is_retried_while_attempts_are_left,
    course.nothing_happens_before_its_time,
    course.what_is_due_happens_soon,
    course.after_a_fatal_error_or_a_cancel_nothing_new_starts,
    course.siblings_of_a_failed_activity_are_treated_as_the_definition_says,
    results.context_keys_change_only_by_accepted_results,
    results.what_is_recorded_is_what_the_processor_answered,
    results.a_processor_gets_the_inputs_and_the_context_of_its_dependencies,
    results.every_orchestration_reaches_its_end_or_waits_for_the_outside,
    results.the_terminal_state_follows_from_what_happened,
    results.nothing_acknowledged_is_lost,
    course.nothing_is_done_again_after_its_completion_was_stored,
    course.a_task_that_an_agent_runs_never_counts_as_lost,
    results.every_result_was_worked_for,
    results.records_are_readable_and_dated,
)


def violations(evidence: Evidence) -> list[tuple[str, str]]:
    """Every violation: the invariant's name and the sentence."""
    return [(invariant.__name__, text) for invariant in ALL for text in invariant(evidence)]
