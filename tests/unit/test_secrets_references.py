import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.graph.references import ABSENT, secret_reference
from runner.secrets.references import (
    find_references,
    is_well_formed,
    names_with_references,
    outermost,
    part_at,
    reference_from,
    replace,
    substitute,
)

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15)


def all_paths(value, path=()):
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from all_paths(part, (*path, key))


@given(values, st.data())
def test_replaced_parts_are_found_again_and_substituted_back(value, data):
    paths = outermost(data.draw(st.lists(st.sampled_from(list(all_paths(value))), max_size=5)))
    secrets = {reference_from(os.urandom(16)): path for path in paths}
    concealed = replace(value, {path: secret_reference(reference) for reference, path in secrets.items()})
    found = find_references(concealed)
    assert {path: reference for reference, path in secrets.items()}.items() <= found.items()
    plain = {reference: part_at(value, path) for path, reference in found.items() if path in paths}
    assert substitute(concealed, plain) == value


@given(values)
def test_nothing_is_changed_in_place(value):
    copy = repr(value)
    replace(value, dict.fromkeys(all_paths(value), 1))
    assert repr(value) == copy


@given(st.binary(min_size=16, max_size=16))
def test_references_are_well_formed_and_distinct(random):
    reference = reference_from(random)
    assert is_well_formed(reference)
    assert len(reference) == 30
    assert reference != reference_from(bytes([random[0] ^ 1]) + random[1:])
    assert reference != reference_from(random[:-1] + bytes([random[-1] ^ 1]))


def test_references_are_found_at_every_depth_in_order():
    value = {"b": [secret_reference("one"), {"c": secret_reference("two")}], "a": secret_reference("one")}
    assert list(find_references(value).items()) == [(("b", 0), "one"), (("b", 1, "c"), "two"), (("a",), "one")]


def test_names_are_told_by_what_their_values_hold():
    assert names_with_references({"a": 1, "b": secret_reference("x"), "c": [{"d": secret_reference("y")}]}) == {
        "b",
        "c",
    }


def test_of_nested_places_the_outermost_are_kept_once():
    assert outermost([("a", 0), ("a",), ("b", 1), ("b", 1), ("b", "x")]) == [("a",), ("b", 1), ("b", "x")]
    assert outermost([(), ("a",)]) == [()]


def test_a_place_that_does_not_exist_is_named():
    with pytest.raises(KeyError, match="'a', 2"):
        part_at({"a": [1]}, ("a", 2, "b"))
    with pytest.raises(KeyError):
        part_at({"a": "text"}, ("a", 0))


def test_an_unknown_reference_is_not_substituted():
    with pytest.raises(KeyError, match="unknown"):
        substitute([secret_reference("unknown")], {})


def test_what_is_absent_takes_its_name_along():
    value = {"a": secret_reference("x"), "b": [1, secret_reference("x"), 2]}
    assert substitute(value, {"x": ABSENT}) == {"b": [1, None, 2]}
