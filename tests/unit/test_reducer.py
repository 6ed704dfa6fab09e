"""The reducer: every transition of its table."""

import pytest
from reducing import Run, act, plan_of

from runner.engine import facts as f
from runner.engine.effects import controls_of, next_due, response_of, task_of
from runner.engine.plan import RetryRule
from runner.engine.reducer import STOP_GRACE_MILLIS, Lost, Tick
from runner.engine.state import OrchestrationState, Status
from runner.protocol.messages import ClaimEvent, ManifestEvent, ReportEvent


@pytest.fixture
def diamond():
    run = Run(plan_of(act("a"), act("b", "a"), act("c", "a"), act("d", "b", "c")))
    run.start(x=1)
    return run


def test_a_manifest_starts_the_first_tier_and_again_changes_nothing(diamond):
    assert diamond.state.state is OrchestrationState.RUNNING
    assert diamond.status("a") is Status.QUEUED
    assert diamond.status("b") is None
    assert diamond.start(x=2) == []
    assert diamond.state.input == {"x": 1}


def test_a_tier_starts_when_the_whole_tier_before_has_completed(diamond):
    diamond.report("a", 1)
    assert diamond.status("b") is diamond.status("c") is Status.QUEUED
    diamond.report("b", 1)
    assert diamond.status("d") is None
    diamond.report("c", 1)
    assert diamond.status("d") is Status.QUEUED
    diamond.report("d", 1, outputs={"url": "u"})
    assert diamond.state.state is OrchestrationState.COMPLETED
    assert diamond.state.output == {"url": "u"}
    assert response_of(diamond.state).success


def test_eager_scheduling_starts_an_activity_when_its_own_dependencies_have_completed():
    run = Run(plan_of(act("a"), act("b"), act("c", "a"), act("d", "b", "c"), eager=True))
    run.start()
    run.report("a", 1)
    assert run.status("c") is Status.QUEUED
    assert run.status("b") is Status.QUEUED
    run.report("c", 1)
    assert run.status("d") is None
    run.report("b", 1)
    assert run.status("d") is Status.QUEUED
    run.report("d", 1)
    assert run.state.state is OrchestrationState.COMPLETED


@pytest.mark.parametrize("eager", [False, True])
def test_a_definition_without_activities_completes_at_once(eager):
    run = Run(plan_of(eager=eager))
    run.start()
    assert run.state.state is OrchestrationState.COMPLETED


def test_only_runs_the_named_activities():
    run = Run(plan_of(act("a"), act("b", "a"), act("c", "b")))
    run.take(ManifestEvent(v=1, event_id="m", oid="o", orchestration_type="t", only=["b"]))
    assert list(run.state.activities) == ["b"]
    run.report("b", 1)
    assert run.state.state is OrchestrationState.COMPLETED


@pytest.mark.parametrize(
    ("options", "manifest", "words"),
    [
        ({"active": False}, {}, "not active"),
        ({}, {"only": ["zz"]}, "no activity zz"),
        ({"schema": {"type": "object", "required": ["tenantId"]}}, {}, "tenantId"),
    ],
)
def test_a_manifest_that_cannot_start_ends_in_error_with_the_reason(options, manifest, words):
    run = Run(plan_of(act("a"), **options))
    run.take(ManifestEvent(v=1, event_id="m", oid="o", orchestration_type="t", **manifest))
    assert run.state.state is OrchestrationState.ERRORED
    assert words in run.state.error
    assert not run.state.activities
    response = response_of(run.state)
    assert not response.success
    assert words in response.error_detail


def test_the_definitions_input_lies_under_the_payload():
    run = Run(plan_of(act("a"), input={"x": 0, "y": 0}))
    run.start(x=1)
    assert run.state.input == {"x": 1, "y": 0}


def test_context_changes_become_visible_on_complete_and_are_staged_before():
    run = Run(plan_of(act("a"), act("b", "a")))
    run.start(k="v", gone=1)
    run.report("a", 2, delay_millis=50, set={"s": 1, "t": 1}, deleted=["gone"], outputs={"o": 1})
    assert run.state.values == {"k": "v", "gone": 1}
    run.take(Tick(), later=50)
    task = task_of(run.plan, run.state, "a", b"secret")
    assert task.values == {"k": "v", "s": 1, "t": 1}
    assert task.outputs == {"o": 1}
    assert task.polls == 1
    run.report("a", 1, set={"gone": 2}, deleted=["t"], outputs={"p": 2})
    assert run.state.values == {"k": "v", "gone": 2, "s": 1}
    assert run.state.activities["a"].outputs == {"o": 1, "p": 2}


def test_a_deleted_key_leaves_the_context_on_complete():
    run = Run(plan_of(act("a")))
    run.start(k=1)
    run.report("a", 1, deleted=["k", "never"])
    assert run.state.values == {}


def test_a_schedule_of_zero_dispatches_at_once_with_the_same_attempt_and_the_next_lease(diamond):
    diamond.report("a", 2, delay_millis=0)
    activity = diamond.state.activities["a"]
    assert (activity.status, activity.attempt, activity.lease, activity.polls) == (Status.QUEUED, 1, 2, 1)


def test_a_schedule_is_dispatched_when_due_and_not_before(diamond):
    diamond.report("a", 2, delay_millis=1000)
    assert next_due(diamond.state) == diamond.now + 1000
    assert diamond.take(Tick(), later=999) == []
    diamond.take(Tick(), later=1)
    assert diamond.status("a") is Status.QUEUED
    assert next_due(diamond.state) is None


def test_retry_errors_back_off_and_end_fatally_when_attempts_are_used_up():
    rule = RetryRule(max_attempts=3, initial_millis=1000, coefficient=2, max_interval_millis=1500)
    run = Run(plan_of(act("a", retry=rule)))
    run.start()
    delays = []
    for attempt in (1, 2):
        run.report("a", -1, error="busy", outputs={f"o{attempt}": 1})
        assert run.status("a") is Status.RETRYING
        delays.append(next_due(run.state) - run.now)
        run.take(Tick(), later=delays[-1])
        assert run.state.activities["a"].attempt == attempt + 1
    assert 800 <= delays[0] <= 1000
    assert 1200 <= delays[1] <= 1500
    run.report("a", -1, error="busy")
    assert run.state.state is OrchestrationState.ERRORED
    assert "attempt 3 of 3" in run.state.error
    assert run.state.activities["a"].outputs == {}


def test_a_fatal_error_lets_siblings_drain_and_starts_nothing_more():
    run = Run(plan_of(act("a"), act("b"), act("c"), act("w"), act("s"), act("z", "a")))
    run.start()
    run.report("w", 0)
    run.report("s", 2, delay_millis=10)
    run.report("c", -1, error="later")
    run.report("a", -2, error="boom")
    assert run.status("b") is Status.QUEUED
    assert run.status("s") is Status.SCHEDULED
    assert run.status("c") is run.status("w") is Status.CANCELLED
    run.take(Tick(), later=10)
    assert run.status("s") is Status.QUEUED
    run.report("s", 2, delay_millis=0)
    assert run.status("s") is Status.QUEUED
    run.report("s", -1, error="no")
    assert run.status("s") is Status.CANCELLED
    assert run.state.state is OrchestrationState.RUNNING
    run.report("b", 1, outputs={"kept": 1})
    assert run.state.state is OrchestrationState.ERRORED
    assert run.state.error == "activity 'a': boom"
    assert run.state.output == {"kept": 1}
    assert run.status("z") is None


def test_the_first_fatal_error_stands():
    run = Run(plan_of(act("a"), act("b")))
    run.start()
    run.report("a", -2, error="first")
    run.report("b", -2)
    assert run.state.error == "activity 'a': first"
    assert run.state.activities["b"].error == "unspecified error"


def test_on_failure_cancel_stops_running_siblings():
    run = Run(plan_of(act("a"), act("b"), act("c"), cancel_siblings=True))
    run.start()
    run.report("c", 2, delay_millis=60_000)
    facts = run.report("a", -2, error="boom")
    assert run.status("b") is run.status("c") is Status.STOPPING
    assert [c.activity for c in controls_of(facts, run.state)] == ["b"]
    assert task_of(run.plan, run.state, "c", b"").stop == "cancel"
    run.report("b", -1, error="interrupted")
    run.report("c", 2, delay_millis=5)
    assert run.status("b") is run.status("c") is Status.CANCELLED
    assert run.state.state is OrchestrationState.ERRORED


def test_cancel_stops_what_runs_and_ends_cancelled():
    run = Run(plan_of(act("a"), act("b"), act("r"), act("w"), act("z", "a")))
    run.start()
    run.report("r", -1, error="x")
    run.report("w", 0)
    facts = run.cancel(by="me", reason="wrong domain")
    assert {c.activity for c in controls_of(facts, run.state)} == {"a", "b"}
    assert run.cancel() == []
    run.report("a", 1)
    assert run.status("a") is Status.COMPLETED
    run.report("b", -2, error="killed")
    assert run.state.state is OrchestrationState.CANCELLED
    assert run.state.error == "cancelled by me: wrong domain"
    assert run.status("z") is None
    assert run.take(Tick()) == []


def test_cancel_with_nothing_running_ends_at_once():
    run = Run(plan_of(act("a")))
    run.start()
    run.report("a", 0)
    run.cancel()
    assert run.state.state is OrchestrationState.CANCELLED
    assert run.state.error == "cancelled"


def test_an_agent_that_does_not_stop_in_time_is_abandoned(diamond):
    diamond.cancel()
    assert diamond.take(Tick(), later=STOP_GRACE_MILLIS - 1) == []
    facts = diamond.take(Tick(), later=1)
    assert facts[0].abandoned
    assert diamond.state.state is OrchestrationState.CANCELLED


def test_wait_times_out_fatally_and_waits_for_ever_without_a_timeout():
    run = Run(plan_of(act("a", wait_timeout_millis=500), act("b")))
    run.start()
    run.report("a", 0)
    run.report("b", 0)
    assert run.state.activities["b"].due_millis == 0
    run.take(Tick(), later=500)
    assert run.state.state is OrchestrationState.ERRORED
    assert "500 ms" in run.state.error
    assert run.status("b") is Status.CANCELLED


def test_timers_due_at_the_same_time_see_what_the_first_one_changed():
    run = Run(plan_of(act("a", wait_timeout_millis=500), act("b", wait_timeout_millis=500)))
    run.start()
    run.report("a", 0)
    run.report("b", 0)
    run.take(Tick(), later=500)
    assert run.status("a") is Status.FAILED
    assert run.status("b") is Status.CANCELLED


@pytest.mark.parametrize("stale", [{"attempt": 9}, {"lease": 9}])
def test_a_report_without_the_live_lease_is_recorded_and_changes_nothing(diamond, stale):
    before = diamond.state
    facts = diamond.report("a", 1, **stale)
    assert isinstance(facts[0], f.Ignored)
    assert diamond.state == before


def test_a_report_of_a_lower_delivery_than_the_highest_known_is_stale(diamond):
    claim = ClaimEvent(v=1, event_id="k", oid="o", activity="a", attempt=1, lease=1, delivery=2, agent="a2", reply="r")
    assert isinstance(diamond.take(claim)[0], f.Claimed)
    assert diamond.take(claim) == []
    assert isinstance(diamond.report("a", 1, delivery=1)[0], f.Ignored)
    assert diamond.status("a") is Status.QUEUED
    diamond.report("a", 1, delivery=2)
    assert diamond.status("a") is Status.COMPLETED


def test_a_report_for_another_generation_or_an_unknown_activity_changes_nothing(diamond):
    assert diamond.report("a", 1, generation=2) == []
    facts = diamond.report("nope", 1)
    assert isinstance(facts[0], f.Ignored)


def test_a_second_copy_of_an_accepted_report_is_silent(diamond):
    first = ReportEvent(v=1, event_id="r", oid="o", activity="a", attempt=1, lease=1, delivery=1, agent="x", result=1)
    diamond.take(first)
    assert diamond.take(first) == []


def test_a_claim_of_a_stale_lease_is_ignored_and_too_many_are_fatal(diamond):
    stale = ClaimEvent(v=1, event_id="k", oid="o", activity="a", attempt=1, lease=7, delivery=2, reply="r")
    assert diamond.take(stale) == []
    for delivery in (2, 3, 4, 5, 9):
        assert diamond.state.state is OrchestrationState.RUNNING
        diamond.take(
            ClaimEvent(v=1, event_id="k", oid="o", activity="a", attempt=1, lease=1, delivery=delivery, reply="r")
        )
    assert diamond.state.state is OrchestrationState.ERRORED
    assert "stopped answering 5 times" in diamond.state.error


def test_a_lost_task_is_dispatched_with_the_next_lease_and_only_while_it_is_the_live_one(diamond):
    assert diamond.take(Lost("a", 9)) == []
    assert diamond.take(Lost("nope", 1)) == []
    diamond.take(Lost("a", 1))
    assert diamond.state.activities["a"].lease == 2
    diamond.report("a", 1)
    assert diamond.take(Lost("a", 2)) == []


def test_a_lost_task_of_a_stopping_activity_is_dispatched_to_be_stopped_within_the_same_grace(diamond):
    diamond.cancel()
    due = diamond.state.activities["a"].due_millis
    diamond.take(Lost("a", 1), later=5_000)
    assert diamond.status("a") is Status.STOPPING
    assert diamond.state.activities["a"].due_millis == due
    assert task_of(diamond.plan, diamond.state, "a", b"").stop == "cancel"
    diamond.report("a", -1)
    assert diamond.state.state is OrchestrationState.CANCELLED


def test_outputs_that_violate_the_output_schema_are_fatal():
    schema = {"type": "object", "properties": {"port": {"type": "integer"}}}
    run = Run(plan_of(act("a", output_schema=schema), act("b", output_schema=schema)))
    run.start()
    run.report("b", 1, outputs={"port": 80})
    run.report("a", 1, outputs={"port": "http"})
    assert run.state.state is OrchestrationState.ERRORED
    assert "a.type" in run.state.error
    assert "port" in run.state.error


def test_two_activities_of_a_tier_writing_one_key_differently_is_a_warning():
    run = Run(plan_of(act("a"), act("b"), act("c", "a", "b"), act("d", "c")))
    run.start()
    run.report("a", 1, set={"k": 1, "same": 1})
    run.report("b", 1, set={"k": 2, "same": 1})
    assert len(run.state.warnings) == 1
    assert "'k'" in run.state.warnings[0]
    run.report("c", 1, set={"k": 3})
    run.report("d", 1, set={"k": 4})
    assert len(run.state.warnings) == 1
    assert run.state.values["k"] == 4


def test_events_before_the_manifest_change_nothing():
    run = Run(plan_of(act("a")))
    assert run.take(Tick()) == []
    assert run.state is None
    assert (
        run.take(ClaimEvent(v=1, event_id="k", oid="o", activity="a", attempt=1, lease=1, delivery=2, reply="r")) == []
    )


def test_a_late_report_after_the_end_is_silent(diamond):
    diamond.cancel()
    diamond.report("a", -1, error="x")
    assert diamond.state.is_terminal
    assert diamond.report("a", 1, lease=7) == []


def test_inputs_flow_from_the_payload_and_from_outputs():
    inputs = (("x", ""), ("a.o.name", "host"), ("a.o", ""), ("a.missing", "m"), ("absent", ""))
    run = Run(plan_of(act("a"), act("b", "a", inputs=inputs), output=(("b.url", "site"), ("x", "x"), ("b.no", "n"))))
    run.start(x=1)
    run.report("a", 1, outputs={"o": {"name": "n"}})
    assert task_of(run.plan, run.state, "b", b"").inputs == {"x": 1, "host": "n", "o": {"name": "n"}}
    run.report("b", 1, outputs={"url": "u"})
    assert run.state.output == {"site": "u", "x": 1}


def test_a_report_of_a_stopping_activity_that_completed_counts(diamond):
    diamond.cancel()
    diamond.report("a", 1, outputs={"made": True})
    assert diamond.state.state is OrchestrationState.CANCELLED
    assert diamond.state.output == {"made": True}
