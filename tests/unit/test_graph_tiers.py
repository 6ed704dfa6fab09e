import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidDefinition, UnknownThing
from runner.graph import Cycle, cycles, downstream, restrict, reverse, tiers, upstream

DIAMOND = [("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c"))]


@st.composite
def graphs(draw: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Acyclic, in any definition order."""
    size = draw(st.integers(0, 12))
    ids = [f"n{index}" for index in range(size)]
    pairs = [
        (id_, tuple(draw(st.lists(st.sampled_from(ids[:index]), max_size=4)) if index else ()))
        for index, id_ in enumerate(ids)
    ]
    return draw(st.permutations(pairs))


@st.composite
def any_graphs(draw: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Cyclic or not."""
    ids = [f"n{index}" for index in range(draw(st.integers(0, 8)))]
    return [(id_, tuple(draw(st.lists(st.sampled_from(ids), max_size=3)))) for id_ in ids]


def test_no_activities_have_no_tiers():
    assert tiers([]) == ()


def test_independent_activities_share_the_first_tier_in_definition_order():
    assert tiers([("z", ()), ("a", ()), ("m", ())]) == (("z", "a", "m"),)


def test_a_diamond_has_three_tiers():
    assert tiers(DIAMOND) == (("a",), ("b", "c"), ("d",))


def test_definition_order_holds_within_later_tiers_whatever_became_ready_first():
    pairs = [("q", ("b",)), ("p", ("a",)), ("a", ()), ("b", ())]
    assert tiers(pairs) == (("a", "b"), ("q", "p"))


def test_a_dependency_named_twice_counts_once():
    assert tiers([("a", ()), ("b", ("a", "a"))]) == (("a",), ("b",))


def test_an_unknown_dependency_is_refused_by_name():
    with pytest.raises(UnknownThing, match="'nope'"):
        tiers([("a", ("nope",))])


@given(graphs())
def test_every_activity_stands_right_after_its_latest_dependency(pairs):
    found = tiers(pairs)
    tier_of = {id_: index for index, tier in enumerate(found) for id_ in tier}
    assert sorted(tier_of) == sorted(id_ for id_, _ in pairs)
    for id_, dependencies in pairs:
        assert tier_of[id_] == max((tier_of[other] + 1 for other in dependencies), default=0)


@given(graphs())
def test_tiers_keep_the_definitions_order(pairs):
    position = {id_: index for index, (id_, _) in enumerate(pairs)}
    assert all(list(tier) == sorted(tier, key=position.__getitem__) for tier in tiers(pairs))


def test_a_cycle_is_named_in_full_from_its_first_activity_along_the_dependencies():
    pairs = [("start", ()), ("a", ("b", "start")), ("b", ("c",)), ("c", ("a",)), ("end", ("a",))]
    with pytest.raises(Cycle, match="a → b → c → a") as caught:
        tiers(pairs)
    assert caught.value.ids == ("a", "b", "c", "a")
    assert isinstance(caught.value, InvalidDefinition)


def test_an_activity_that_depends_on_itself_is_a_cycle_of_one():
    with pytest.raises(Cycle) as caught:
        tiers([("a", ("a",))])
    assert caught.value.ids == ("a", "a")


def test_all_disjoint_cycles_are_found_in_definition_order_and_unknown_dependencies_passed_over():
    pairs = [("x", ("y", "nope")), ("c", ("c",)), ("y", ("x",)), ("free", ())]
    assert cycles(pairs) == (("x", "y", "x"), ("c", "c"))


@given(any_graphs())
def test_a_graph_has_tiers_or_real_cycles(pairs):
    found = cycles(pairs)
    graph = dict(pairs)
    for ids in found:
        assert ids[0] == ids[-1]
        assert all(after in graph[before] for before, after in itertools.pairwise(ids))
        assert len(set(ids)) == len(ids) - 1
    if found:
        with pytest.raises(Cycle):
            tiers(pairs)
    else:
        tiers(pairs)


def test_reverse_order_runs_dependents_first_each_as_early_as_it_can_be():
    assert tiers(reverse([*DIAMOND, ("lone", ())])) == (("d", "lone"), ("b", "c"), ("a",))


@given(graphs())
def test_reversing_twice_gives_the_same_edges(pairs):
    edges = {(id_, other) for id_, others in pairs for other in others}
    assert {(id_, other) for id_, others in reverse(reverse(pairs)) for other in others} == edges


def test_closures_reach_through_others_in_both_directions():
    assert upstream(DIAMOND, ["d"]) == {"a", "b", "c"}
    assert upstream(DIAMOND, ["a"]) == frozenset()
    assert downstream(DIAMOND, ["a"]) == {"b", "c", "d"}
    assert upstream(DIAMOND, ["d", "b"]) == {"a", "b", "c"}


def test_closures_end_on_cycles_and_pass_over_unknown_ids():
    pairs = [("a", ("b",)), ("b", ("a", "nope"))]
    assert upstream(pairs, ["a"]) == {"a", "b", "nope"}
    assert downstream(pairs, ["nope"]) == {"a", "b"}


def test_restricting_keeps_order_through_removed_activities():
    assert restrict([("a", ()), ("b", ("a",)), ("c", ("b",))], ["c", "a"]) == (("a", ()), ("c", ("a",)))


def test_restricting_merges_ways_round_a_removed_activity():
    assert restrict(DIAMOND, ["a", "d"]) == (("a", ()), ("d", ("a",)))


def test_restricting_to_an_unknown_activity_is_refused_with_the_known_ones():
    with pytest.raises(UnknownThing, match="'x'") as caught:
        restrict(DIAMOND, ["a", "x"])
    assert "a, b, c, d" in caught.value.remedy


def test_restricting_a_cyclic_graph_is_refused():
    with pytest.raises(Cycle):
        restrict([("a", ("b",)), ("b", ("a",))], ["a"])


@given(graphs(), st.data())
def test_restriction_orders_two_activities_just_as_the_whole_graph_does(pairs, data):
    ids = [id_ for id_, _ in pairs]
    kept = data.draw(st.sets(st.sampled_from(ids)) if ids else st.just(set()))
    cut = restrict(pairs, kept)
    assert [id_ for id_, _ in cut] == [id_ for id_ in ids if id_ in kept]
    for id_ in kept:
        assert upstream(cut, [id_]) == upstream(pairs, [id_]) & kept


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([(f"n{i}", (f"n{i - 1}",) if i else ()) for i in range(1000)], id="chain"),
        pytest.param([(f"n{i}", ()) for i in range(1000)], id="one tier"),
        pytest.param([("n0", ()), *((f"n{i}", ("n0",)) for i in range(1, 1000))], id="fan"),
    ],
)
def test_a_thousand_activities_are_sorted_and_cut_in_milliseconds(pairs):
    best = min(_seconds(pairs) for _ in range(5))
    assert best < 0.1  # About 5 ms on a slow machine; a quadratic sort takes seconds.


def _seconds(pairs: list[tuple[str, tuple[str, ...]]]) -> float:
    start = time.process_time()
    tiers(pairs)
    reverse(pairs)
    restrict(pairs, [id_ for id_, _ in pairs[::2]])
    upstream(pairs, [pairs[-1][0]])
    return time.process_time() - start
