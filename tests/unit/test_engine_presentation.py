"""Orchestrations as users see them."""

import pytest
from reducing import Run, act, plan_of

from runner.engine.presentation import activity_line, rest_form, timestamp, why_not_running
from runner.protocol.messages import ManifestEvent


@pytest.fixture
def run():
    made = Run(plan_of(act("a", discriminator="deploy"), act("e"), act("b", "a"), act("c")))
    made.start(x=1)
    return made


def why(run, name):
    return why_not_running(run.plan, run.state, name, run.now)


def test_the_rest_form_has_the_references_members(run):
    run.report("a", 1, set={"k": 2}, outputs={"o": 1})
    assert rest_form(run.plan, run.state) == {
        "id": "o",
        "correlationId": "",
        "definitionId": "t",
        "state": 1,
        "stateTimestamp": "2023-11-14T22:13:20.000Z",
        "createdTimestamp": "2023-11-14T22:13:20.000Z",
        "orchestrationType": "t",
        "steps": [
            {
                "activities": [
                    {"id": "a", "type": "a.type", "discriminator": "deploy", "dependsOn": []},
                    {"id": "e", "type": "e.type", "discriminator": "", "dependsOn": []},
                    {"id": "c", "type": "c.type", "discriminator": "", "dependsOn": []},
                ]
            },
            {"activities": [{"id": "b", "type": "b.type", "discriminator": "", "dependsOn": ["a"]}]},
        ],
        "processingData": {"x": 1, "k": 2},
        "outputData": {"o": 1},
        "completed": {"a": {}},
    }


def test_an_errored_orchestration_has_its_message_in_the_processing_data():
    run = Run(plan_of(act("a")))
    run.start()
    run.report("a", -2, error="boom")
    form = rest_form(run.plan, run.state)
    assert form["state"] == 3
    assert form["processingData"]["error"] == "activity 'a': boom"
    assert form["outputData"] == {}


def test_what_compensation_did_is_in_the_processing_data():
    run = Run(plan_of(act("a"), compensation=plan_of(act("a"), digest="sha256:u")))
    run.start()
    run.report("a", -2, error="boom")
    run.report("undo.a", 1)
    form = rest_form(run.plan, run.state)
    assert form["processingData"]["compensation"] == {"undone": ["a"], "notUndone": {}}


def test_each_status_says_why_the_activity_is_not_running(run):
    assert "in the queue of 'a.type'" in why(run, "a")
    assert why(run, "b") == "needs a first"
    run.report("a", 2, delay_millis=1500)
    assert why(run, "a") == "polls again in 1.5 s (poll 1)"
    run.report("e", -1, error="busy")
    assert "attempt 2 of 5 starts in" in why(run, "e")
    assert why(run, "e").endswith("after: busy")
    run.report("c", 0)
    assert why(run, "c") == "waits to be completed from outside, without a time limit"
    run.command("pause")
    assert why(run, "a").endswith("(paused)")
    assert why(run, "b") == "the orchestration is paused"
    run.command("resume")
    run.cancel()
    assert "was told to stop" in why(run, "a")
    assert why(run, "c") == ""


def test_a_tier_waits_for_the_whole_tier_before(run):
    run.report("a", 1)
    assert why(run, "b") == "its tier starts when the one before has completed; still open: e, c"


def test_what_was_left_out_or_never_started_says_so():
    run = Run(plan_of(act("a"), act("b", "a"), act("c", "b")))
    run.take(ManifestEvent(v=1, event_id="m", oid="o", orchestration_type="t", only=["a", "b"]))
    assert why(run, "c") == "left out by --only"
    run.report("a", -2, error="boom\nmore")
    assert why(run, "b") == "nothing new starts: activity 'a': boom"
    line = activity_line(run.plan, run.state, "c", run.now)
    assert (line["status"], line["tier"], line["attempt"]) == ("skipped", -1, 0)
    line = activity_line(run.plan, run.state, "a", run.now)
    assert (line["status"], line["tier"], line["error"], line["why"]) == ("failed", 0, "boom\nmore", "")
    assert activity_line(run.plan, run.state, "b", run.now)["status"] == "pending"


def test_timestamps_are_rfc_3339_in_utc():
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
