"""The reducer: retry, pause, completion from outside, compensation."""

import pytest
from reducing import Run, act, plan_of

from runner.engine import facts as f
from runner.engine.compensation import partners
from runner.engine.effects import next_due, response_of, task_of
from runner.engine.reducer import Tick
from runner.engine.state import OrchestrationState, Status

INTEGER = {"type": "object", "properties": {"n": {"type": "integer"}}}


def chain(**options):
    run = Run(plan_of(act("a"), act("b", "a"), act("c", "b"), **options))
    run.start(x=1)
    return run


def failed_in_b(**options):
    run = chain(**options)
    run.report("a", 1, outputs={"o": 1})
    run.report("b", -2, error="boom")
    return run


# Retry ----------------------------------------------------------------------------------------------------------


def test_retry_begins_the_next_generation_at_the_failed_activity():
    run = failed_in_b()
    assert run.state.state is OrchestrationState.ERRORED
    run.command("retry", by="me")
    assert run.state.generation == 2
    assert run.state.state is OrchestrationState.RUNNING
    assert run.status("a") is Status.COMPLETED
    assert run.status("b") is Status.QUEUED
    assert run.report("b", 1, generation=1) == []
    run.report("b", 1)
    run.report("c", 1)
    assert run.state.state is OrchestrationState.COMPLETED
    assert run.state.error == ""
    assert response_of(run.state).id != response_of(failed_in_b().state).id


def test_retry_from_an_activity_runs_it_and_what_depends_on_it_again():
    run = chain()
    for name in "abc":
        run.report(name, 1)
    assert run.command("retry") == []
    run.command("retry", activity="b")
    assert run.status("a") is Status.COMPLETED
    assert run.status("b") is Status.QUEUED
    assert run.status("c") is None


@pytest.mark.parametrize("activity", ["", "nope"])
def test_retry_of_what_runs_or_names_nothing_changes_nothing(activity):
    run = chain()
    assert run.command("retry", activity=activity) == []
    run = failed_in_b()
    assert run.command("retry", activity="nope") == []


def test_retry_of_a_refused_manifest_changes_nothing():
    run = Run(plan_of(act("a"), active=False))
    run.start()
    assert run.state.state is OrchestrationState.ERRORED
    assert run.command("retry") == []


def test_retry_of_a_cancelled_orchestration_goes_on():
    run = chain()
    run.cancel()
    run.report("a", -1, error="interrupted")
    run.command("retry")
    assert run.status("a") is Status.QUEUED
    assert not run.state.cancelling


def test_other_commands_after_the_end_change_nothing():
    run = failed_in_b()
    assert run.cancel() == run.command("pause") == run.command("resume") == []


# Pause ----------------------------------------------------------------------------------------------------------


def test_nothing_starts_while_paused_and_everything_goes_on_when_resumed():
    run = Run(plan_of(act("a"), act("p"), act("r"), act("b", "a", "p", "r")))
    run.start()
    run.report("p", 2, delay_millis=10)
    run.report("r", -1, error="busy")
    run.command("pause", by="me", reason="maintenance")
    assert run.command("pause") == []
    assert next_due(run.state) is None
    run.report("a", 2, delay_millis=0)
    assert run.status("a") is Status.SCHEDULED
    assert run.take(Tick(), later=10_000) == []
    run.command("resume")
    assert run.command("resume") == []
    run.take(Tick())
    assert {run.status(name) for name in "apr"} == {Status.QUEUED}
    run.report("a", 1)
    run.report("p", 1)
    run.command("pause")
    run.report("r", 1)
    assert run.status("b") is None
    run.command("resume")
    assert run.status("b") is Status.QUEUED


def test_a_waiting_activity_times_out_in_spite_of_a_pause():
    run = Run(plan_of(act("a", wait_timeout_millis=5)))
    run.start()
    run.report("a", 0)
    run.command("pause")
    assert next_due(run.state) == run.now + 5
    run.take(Tick(), later=5)
    assert run.state.state is OrchestrationState.ERRORED


def test_a_failing_orchestration_cannot_be_paused():
    run = Run(plan_of(act("a"), act("b")))
    run.start()
    run.report("a", -2, error="x")
    assert run.command("pause") == []


# Completion from outside ----------------------------------------------------------------------------------------


def waiting(**options):
    run = Run(plan_of(act("a", **options), act("b", "a")))
    run.start()
    run.report("a", 0, set={"asked": True})
    return run


def test_a_wait_is_completed_from_outside_with_outputs():
    run = waiting()
    run.complete("a", outputs={"n": 1}, set={"said": "yes"}, by="ops")
    assert run.status("a") is Status.COMPLETED
    assert run.status("b") is Status.QUEUED
    assert run.state.values == {"asked": True, "said": "yes"}
    facts = run.complete("a")
    assert isinstance(facts[0], f.CompletionRefused)


@pytest.mark.parametrize("error", ["no", ""])
def test_a_wait_is_failed_from_outside(error):
    run = waiting()
    run.complete("a", "fail", error=error)
    assert run.state.state is OrchestrationState.ERRORED
    assert (error or "without a reason") in run.state.error


def test_a_wait_is_given_data_and_goes_on_waiting():
    run = waiting()
    run.complete("a", "data", outputs={"n": 1}, set={"k": 1})
    assert run.status("a") is Status.WAITING
    run.complete("a")
    assert run.state.activities["a"].outputs == {"n": 1}
    assert run.state.values == {"asked": True, "k": 1}


def test_a_completion_that_overtakes_its_wait_is_kept_for_it():
    run = Run(plan_of(act("a"), act("b", "a")))
    run.start()
    run.complete("a", outputs={"n": 1})
    assert run.complete("a", "fail") == []
    assert run.status("a") is Status.QUEUED
    run.report("a", 0, outputs={"m": 2})
    assert run.status("a") is Status.COMPLETED
    assert run.state.activities["a"].outputs == {"n": 1, "m": 2}


def test_outputs_from_outside_that_violate_the_schema_are_refused_and_the_wait_goes_on():
    run = waiting(output_schema=INTEGER)
    facts = run.complete("a", outputs={"n": "one"})
    assert isinstance(facts[0], f.CompletionRefused)
    assert "n" in facts[0].reason
    assert run.status("a") is Status.WAITING


def test_a_completion_of_an_unknown_activity_is_refused():
    run = waiting()
    assert isinstance(run.complete("nope")[0], f.CompletionRefused)


# Compensation ---------------------------------------------------------------------------------------------------


def undoing(*activities):
    return plan_of(*activities, digest="sha256:u", type="undo.t")


def test_after_a_fatal_error_what_had_started_is_undone_in_the_compensations_order():
    run = failed_in_b(compensation=undoing(act("c"), act("b", "c", inputs=(("x", ""), ("a.o", "o"))), act("a", "b")))
    assert run.state.state is OrchestrationState.COMPENSATING
    assert run.status("undo.c") is None
    assert run.status("undo.b") is Status.QUEUED
    assert run.status("undo.a") is None
    task = task_of(run.plan, run.state, "undo.b", b"")
    assert (task.activity, task.id, task.type, task.inputs) == ("undo.b", "b", "b.type", {"x": 1, "o": 1})
    assert run.cancel() == []
    run.report("undo.b", 2, delay_millis=0)
    run.report("undo.b", -1, error="busy")
    run.take(Tick(), later=2000)
    run.report("undo.b", 1, set={"k": 1}, outputs={"gone": True})
    run.report("undo.a", 1, set={"k": 2})
    assert run.state.state is OrchestrationState.COMPENSATED
    assert run.state.undone == ["a", "b"]
    assert run.state.not_undone == {}
    assert run.state.error == "activity 'b': boom"
    assert run.state.output == {"o": 1}
    assert run.state.warnings == []
    assert not response_of(run.state).success


def test_what_cannot_be_undone_is_named_and_what_depends_on_it_is_not_tried():
    comp = undoing(act("b"), act("a", "b"), act("z"))
    run = failed_in_b(compensation=comp)
    run.report("undo.b", -2, error="stuck")
    assert run.state.state is OrchestrationState.ERRORED
    assert run.state.undone == []
    assert run.state.not_undone == {"b": "stuck", "a": "not tried: 'b' could not be undone"}
    assert "could not undo: a, b" in run.state.error


def test_a_wait_of_the_compensation_that_fails_or_times_out_does_not_stop_the_others():
    comp = undoing(act("a"), act("b", wait_timeout_millis=5))
    run = failed_in_b(compensation=comp)
    run.report("undo.b", 0)
    run.take(Tick(), later=5)
    assert run.status("undo.a") is Status.QUEUED
    run.report("undo.a", 0)
    run.complete("undo.a", "fail", error="no")
    assert set(run.state.not_undone) == {"a", "b"}


def test_what_existed_before_is_left_alone():
    run = chain(compensation=undoing(act("a"), act("b")))
    run.report("a", 1, existing=True)
    run.report("b", -2, error="boom", existing=True)
    assert run.state.state is OrchestrationState.ERRORED
    assert run.status("undo.a") is None


def test_activities_pair_by_workspace_when_not_by_id():
    comp = undoing(
        act("away", config={"workspace": "{{ t }}-a"}), act("other", config={"workspace": "{{ t }}-x"}), act("plain")
    )
    plan = plan_of(act("a", config={"workspace": "{{ t }}-a"}), act("b", "a"), act("c", "b"), compensation=comp)
    run = Run(plan)
    run.start()
    run.report("a", 1)
    run.report("b", -2, error="boom")
    assert partners(plan, run.state) == {"a": "away"}
    run.report("undo.away", 1)
    assert run.state.undone == ["a"]
    run.command("retry")
    assert run.status("a") is Status.QUEUED


def test_a_cancelled_orchestration_is_not_compensated():
    run = chain(compensation=undoing(act("a")))
    run.cancel()
    run.report("a", -2, error="killed")
    assert run.state.state is OrchestrationState.CANCELLED


def test_a_failure_after_a_cancellation_is_not_compensated():
    run = Run(plan_of(act("a"), act("b"), compensation=undoing(act("a"), act("b"))))
    run.start()
    run.report("a", -2, error="boom")
    run.cancel()
    run.report("b", -1, error="stopped")
    assert run.state.state is OrchestrationState.ERRORED


def test_a_retry_after_a_compensation_runs_again_what_was_undone():
    run = failed_in_b(compensation=undoing(act("a"), act("b")))
    run.report("undo.a", 1)
    run.report("undo.b", 1)
    run.command("retry")
    assert run.status("a") is Status.QUEUED
    assert run.status("undo.a") is None
    assert run.state.undone == []


def test_a_definition_without_compensation_has_nothing_to_undo():
    run = failed_in_b()
    assert partners(run.plan, run.state) == {}
    assert run.state.state is OrchestrationState.ERRORED


def test_a_cancel_while_siblings_are_stopping_already_changes_nothing_for_them():
    run = Run(plan_of(act("a"), act("b"), cancel_siblings=True))
    run.start()
    run.report("a", -2, error="boom")
    facts = run.cancel()
    assert [type(fact).__name__ for fact in facts] == ["CancelRequested"]
    run.report("b", -1, error="stopped")
    assert run.state.state is OrchestrationState.ERRORED


def test_a_write_below_a_diamond_is_no_conflict_with_what_is_upstream():
    run = Run(plan_of(act("a"), act("b", "a"), act("c", "a"), act("d", "b", "c"), act("x")))
    run.start()
    run.report("x", 1, set={"k": 0})
    run.report("a", 1, set={"k": 1})
    assert len(run.state.warnings) == 1
    run.report("b", 1)
    run.report("c", 1)
    run.report("d", 1, set={"k": 2})
    assert len(run.state.warnings) == 1
