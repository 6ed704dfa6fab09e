"""Messages, their versions, their published schemas, and the names of subjects."""

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidUsage, NewerData
from runner.protocol import messages as m
from runner.protocol.schemas import PLACE, protocol_schema, text
from runner.protocol.subjects import Subjects, partition_of, token


def test_the_published_schemas_are_those_of_the_messages():
    assert PLACE.read_bytes() == text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Task", m.Task(v=1, oid="o", activity="a", type="t", attempt=1, lease=1)),
        ("ManifestEvent", m.ManifestEvent(v=1, event_id="e", oid="o", orchestration_type="t", payload={"x": 1})),
        (
            "ReportEvent",
            m.ReportEvent(v=1, event_id="e", oid="o", activity="a", attempt=1, lease=1, delivery=1, result=-2),
        ),
        ("Control", m.Control(v=1, activity="a", lease=1, reason="cancel")),
        ("Live", m.Live(v=1, oid="o", what="progress", at_millis=1, text="x")),
    ],
)
def test_a_message_is_valid_by_its_schema(name, message):
    schema = {**protocol_schema(), "$ref": f"#/$defs/{name}"}
    jsonschema.validate(orjson.loads(m.encode(message)), schema)


def test_an_event_survives_the_wire_and_unknown_members_are_ignored():
    event = m.CommandEvent(v=1, event_id="e", oid="o", command="cancel", by="me")
    data = orjson.dumps({**orjson.loads(m.encode(event)), "later": True})
    assert m.decode_event(data) == event


@pytest.mark.parametrize(
    "data",
    [b'{"v":2,"kind":"unheard-of"}', b'{"v":9,"kind":"command","eventId":"e","oid":"o","command":"cancel"}'],
)
def test_a_message_of_a_newer_version_is_refused_as_such(data):
    with pytest.raises(NewerData, match="format version"):
        m.decode_event(data)


@pytest.mark.parametrize("data", [b"{", b'{"v":1,"kind":"report"}', b"[]", b'{"v":1,"kind":"x"}', b"\xff"])
def test_what_is_no_message_is_refused_with_the_reason(data):
    with pytest.raises(InvalidUsage, match="reading a message as event"):
        m.decode_event(data)


def test_a_task_and_any_other_message_are_read_alike():
    task = m.Task(v=1, oid="o", activity="a", type="t", attempt=1, lease=1)
    assert m.decode_task(m.encode(task)) == task
    assert m.decode(m.Answer, b'{"v":1,"live":true}').live
    with pytest.raises(InvalidUsage, match="as answer"):
        m.decode(m.Answer, b"{}")


@given(st.text(), st.text())
def test_tokens_are_injective_and_safe(one, other):
    assert (token(one) == token(other)) == (one == other)
    assert token(one)
    assert not set(token(one)) & set(".*> \t\r\n")


def test_partitions_are_stable():
    assert [partition_of(f"o{n}", 4) for n in range(8)] == [partition_of(f"o{n}", 4) for n in range(8)]
    assert {partition_of(f"o{n}", 4) for n in range(64)} == {0, 1, 2, 3}


def test_subjects_have_the_documented_form():
    subjects = Subjects(prefix="t", partitions=1)
    assert subjects.run("a.b") == "t.run.a=2Eb"
    assert subjects.event("a") == "t.event.0.a"
    assert subjects.event_filter(0) == "t.event.0.>"
    assert subjects.task("a.b") == "t.task.a.b"
    assert subjects.task_consumer("a.b") == "task-a=b"
    assert subjects.event_consumer(3) == "event-3"
    assert subjects.response("a", 2) == "t.response.a.2"
    assert subjects.dead("event", "a") == "t.dead.event.a"
    assert subjects.live("a") == "t.live.a"
    assert subjects.beat("engine", "e.1") == "t.beat.engine.e=2E1"
    assert subjects.beats("engine") == "t.beat.engine.*"
    assert subjects.control("a") == "t.control.a"
    assert subjects.ask("x") == "t.ask.x"
