from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.graph import (
    ABSENT,
    default_target,
    is_secret_reference,
    parse_secret_reference,
    resolve,
    resolve_inputs,
    secret_reference,
    walk,
)

INPUT = {
    "cell": {"name": "c1", "upstreams": ["10.0.0.1", {"host": "10.0.0.2"}]},
    "a.b": "dotted key",
    "nothing": None,
    "dns": "shadows the activity",
}
OUTPUTS = {"dns": {"record": {"name": "t1.example.com"}, "7": "by key"}, "keys": {"pair": {"$secret": "s1"}}}


@dataclass(frozen=True)
class Input:
    source: str
    target: str | None = None


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("cell", INPUT["cell"]),
        ("cell.name", "c1"),
        ("cell.upstreams.0", "10.0.0.1"),
        ("cell.upstreams.1.host", "10.0.0.2"),
        ("cell.upstreams.2", ABSENT),
        ("cell.upstreams.-1", ABSENT),
        ("cell.upstreams.²", ABSENT),
        ("cell.upstreams." + "9" * 5000, ABSENT),
        ("cell.upstreams.name", ABSENT),
        ("cell.name.more", ABSENT),
        ("cell.nope.more", ABSENT),
        ("nope", ABSENT),
        ("nope.more", ABSENT),
        ("nothing", None),
        ("nothing.more", ABSENT),
        ("a.b", "dotted key"),
        ("dns.record.name", "t1.example.com"),
        ("dns.7", "by key"),
        ("dns.nope", ABSENT),
        ("keys.pair", {"$secret": "s1"}),
        ("keys", OUTPUTS["keys"]),
    ],
)
def test_a_source_stands_for(source, value):
    assert resolve(source, INPUT, OUTPUTS) == value


def test_a_whole_key_of_the_input_wins_over_an_activity():
    assert resolve("dns", INPUT, OUTPUTS) == "shadows the activity"
    assert resolve("dns.record", {"dns.record": 1}, OUTPUTS) == 1


def test_an_activity_without_outputs_hides_an_input_of_its_name():
    data = {"dns": {"record": "from the input"}}
    assert resolve("dns.record", data, {}) == "from the input"
    assert resolve("dns.record", data, {}, activity_ids={"dns"}) is ABSENT


def test_absent_is_false_and_not_null():
    assert not ABSENT
    assert ABSENT is not None


def test_going_into_a_secret_says_where_and_what_is_left_to_go():
    assert resolve("keys.pair.private.pem", INPUT, OUTPUTS) == {"$secret": "s1#/private/pem"}


def test_going_into_a_part_of_a_secret_goes_on_from_there():
    value = secret_reference("s1", ("private",))
    assert walk(value, ["pem"]) == {"$secret": "s1#/private/pem"}


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ({"$secret": "s"}, True),
        ({"$secret": 1}, False),
        ({"$secret": "s", "more": 1}, False),
        ({}, False),
        ("$secret", False),
        (None, False),
    ],
)
def test_a_secret_reference_is_an_object_with_that_one_string(value, answer):
    assert is_secret_reference(value) is answer


@given(st.text(st.characters(exclude_characters="#")), st.lists(st.text()))
def test_a_secret_reference_with_a_path_reads_back(reference, path):
    value = secret_reference(reference, path)
    assert is_secret_reference(value)
    assert parse_secret_reference(value) == (reference, tuple(path))


def test_a_path_can_be_added_to_a_reference_that_has_one():
    assert secret_reference("s#/a", ["b"]) == {"$secret": "s#/a/b"}


@pytest.mark.parametrize(
    ("source", "target"),
    [("cell", "cell"), ("activity1.resource", "resource"), ("cell.upstreams.0", "0"), ("a.b", "a.b"), ("x", "x")],
)
def test_a_source_alone_names_its_input(source, target):
    assert default_target(source, INPUT) == target


def test_inputs_are_named_by_their_targets_and_absent_ones_left_out():
    references = [
        Input("cell"),
        Input("dns.record.name", "host"),
        Input("dns.record"),
        Input("nope"),
        Input("nothing"),
        Input("keys.pair"),
        Input("keys.pair.private"),
    ]
    assert resolve_inputs(references, INPUT, OUTPUTS) == {
        "cell": INPUT["cell"],
        "host": "t1.example.com",
        "record": {"name": "t1.example.com"},
        "nothing": None,
        "pair": {"$secret": "s1"},
        "private": {"$secret": "s1#/private"},
    }


@given(
    st.text(),
    st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)),
)
def test_any_source_against_any_data_answers(source, value):
    resolve(source, {"a": value}, {"b": {"c": value}})
