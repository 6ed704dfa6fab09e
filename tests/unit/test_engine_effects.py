"""What leaves the engine: tasks, controls, tokens, responses."""

from reducing import Run, act, plan_of

from runner.engine.effects import completion_token, controls_of, next_due, standing_controls, task_id, task_of
from runner.protocol.messages import ClaimEvent


def started():
    run = Run(plan_of(act("a", timeout_millis=5), act("b")))
    run.start(x=1)
    return run


def claim(delivery):
    return ClaimEvent(
        v=1, event_id="k", oid="o", activity="b", attempt=1, lease=1, delivery=delivery, agent="heir", reply="r"
    )


def test_what_is_to_stop_and_what_was_taken_over_is_told_again_and_again():
    run = started()
    assert standing_controls(run.state) == []
    run.take(claim(2))
    lost = standing_controls(run.state)
    assert [(c.activity, c.reason, c.delivery) for c in lost] == [("b", "lost", 2)]
    facts = run.cancel()
    assert {c.activity for c in controls_of(facts, run.state)} == {"a", "b"}
    assert [(c.activity, c.reason, c.delivery) for c in standing_controls(run.state)] == [
        ("a", "cancel", 0),
        ("b", "cancel", 0),
    ]


def test_a_task_has_all_that_its_agent_needs():
    run = started()
    task = task_of(run.plan, run.state, "a", b"secret")
    assert (task.oid, task.activity, task.type, task.attempt, task.lease) == ("o", "a", "a.type", 1, 1)
    assert (task.timeout_millis, task.values, task.id) == (5, {"x": 1}, "")
    assert task.token == completion_token(run.state, "a", b"secret")


def test_tokens_and_message_ids_differ_by_lease_and_tokens_by_secret():
    run = started()
    before = completion_token(run.state, "a", b"secret"), task_id(run.state, "a")
    assert completion_token(run.state, "a", b"other") != before[0]
    assert completion_token(run.state, "b", b"secret") != before[0]
    run.report("a", 2, delay_millis=0)
    assert completion_token(run.state, "a", b"secret") != before[0]
    assert task_id(run.state, "a") != before[1]


def test_an_ended_orchestration_has_no_timer():
    run = Run(plan_of(act("a"), act("b", wait_timeout_millis=5)))
    run.start()
    run.report("b", 0)
    assert next_due(run.state) == run.now + 5
    run.report("a", -2, error="boom")
    assert run.state.is_terminal
    assert next_due(run.state) is None
