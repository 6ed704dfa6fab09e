"""Sorts activities into tiers of parallel execution, and cuts graphs to what is asked for.

Theory of operation
-------------------
A graph is a collection of pairs ``(id, depends_on)`` in definition order: ``[("dns", ()), ("ingress", ("dns",))]``. An
edge runs from an activity to each one it depends on. Every id that is depended on has a pair of its own.

A tier is the set of activities that become ready at the same moment when every tier takes one step of time. Hence:

* the first tier is exactly what depends on nothing;
* an activity stands in the tier right after the latest of those it depends on, never later;
* no activity of a tier depends, even transitively, on another of the same tier;
* within a tier the definition's order is kept, so that equal definitions give equal tiers, byte by byte.

``graphlib`` does the counting. Seen from the sort, an activity goes through these states, once and in this order:

=========  ===========================================  ============================  ==============================
state      holds                                        leaves it when                then
=========  ===========================================  ============================  ==============================
blocked    some dependency is not yet placed            its last dependency is done   ready
ready      all dependencies are placed in tiers before  the sort takes the next tier  placed, in that tier
placed     it has its tier                              the whole tier is marked done done
done       its dependents no longer wait for it         never                         (the sort ends when all are)
=========  ===========================================  ============================  ==============================

What stays blocked for ever is on a cycle, or depends on one; `Cycle` names one cycle in full, `cycles` several.

Disposing of what was deployed runs the other way: `reverse` turns every edge round, so ``tiers(reverse(graph))`` is the
reverse order, again with every activity as early as it can be.

`restrict` cuts a graph to some of its activities (``--only``, and a compensation cut to the partners of what had
started). Order must survive the cut: with ``a ← b ← c``, taking ``b`` away leaves ``c`` depending on ``a``. Nothing is
recursive, so a chain of any length is as safe as a tier of any width. All of it is linear in nodes and edges, but for
`restrict`, which is linear in the edges that it has to make.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import TypeAlias

from runner.errors import InvalidDefinition, UnknownThing

Pairs: TypeAlias = Iterable[tuple[str, Collection[str]]]


class Cycle(InvalidDefinition):
    """Activities depend on each other in a circle.

    Attributes:
        ids: The circle, from its first activity in definition order, each depending on the next, the first again at
            the end: ``("a", "b", "a")``.
    """

    code = "cycle"

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        super().__init__(
            f"activities depend on each other in a cycle: {' → '.join(self.ids)}",
            remedy="remove one of these dependencies",
        )


def tiers(activities: Pairs) -> tuple[tuple[str, ...], ...]:
    """Ids grouped into tiers, first tier first, each in definition order; empty for no activities.

    Source: The Orchestrator, "Resource Model: Orchestrations and Activities".

    Raises:
        Cycle: Some depend on each other in a circle.
        runner.errors.UnknownThing: A dependency is not among the activities.
    """
    graph = _graph(activities)
    position = {id_: index for index, id_ in enumerate(graph)}
    sorter = _prepared(graph)
    found = []
    while sorter.is_active():
        ready = sorter.get_ready()
        found.append(tuple(sorted(ready, key=position.__getitem__)))
        sorter.done(*ready)
    return tuple(found)


def cycles(activities: Pairs) -> tuple[tuple[str, ...], ...]:
    """Cycles that share no activity, each as in `Cycle.ids`; empty for a graph that has tiers.

    Breaking all of them may leave longer ones that ran through the same activities; ask again then. A dependency that
    is not among the activities is passed over.
    """
    graph = dict(activities)
    position = {id_: index for index, id_ in enumerate(graph)}
    found = []
    while True:
        known = {id_: [other for other in others if other in graph] for id_, others in graph.items()}
        try:
            _prepared(known, position)
        except Cycle as cycle:
            found.append(cycle.ids)
            graph = {id_: others for id_, others in graph.items() if id_ not in cycle.ids}
        else:
            return tuple(sorted(found, key=lambda ids: position[ids[0]]))


def reverse(activities: Pairs) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The graph with every edge turned round: each activity then depends on those that depended on it."""
    graph = _graph(activities)
    dependents = _dependents(graph)
    return tuple((id_, tuple(dependents[id_])) for id_ in graph)


def upstream(activities: Pairs, ids: Iterable[str]) -> frozenset[str]:
    """Everything that ``ids`` depend on, directly or through others; one of ``ids`` only if another depends on it.

    Ends on cycles too. A dependency that is not among the activities is in the answer, with nothing behind it.
    """
    return _closure(dict(activities), ids)


def downstream(activities: Pairs, ids: Iterable[str]) -> frozenset[str]:
    """Everything that depends on ``ids``, directly or through others."""
    return _closure(_dependents(dict(activities)), ids)


def restrict(activities: Pairs, ids: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The graph of ``ids`` alone, in definition order, with dependencies through the removed ones kept.

    Raises:
        Cycle: Some activities depend on each other in a circle.
        runner.errors.UnknownThing: One of ``ids``, or a dependency, is not among the activities.
    """
    graph = _graph(activities)
    kept = frozenset(ids)
    for id_ in sorted(kept - graph.keys()):
        raise _unknown(id_, graph)
    nearest: dict[str, dict[str, None]] = {}  # Dicts for sets that keep their order.
    for id_ in chain.from_iterable(tiers(graph.items())):
        nearest[id_] = _nearest(graph[id_], kept, nearest)
    return tuple((id_, tuple(nearest[id_])) for id_ in graph if id_ in kept)


def _nearest(
    dependencies: Iterable[str], kept: Collection[str], nearest: Mapping[str, Mapping[str, None]]
) -> dict[str, None]:
    """The kept activities that are reached from ``dependencies`` through removed ones alone."""
    found: dict[str, None] = {}
    for id_ in dependencies:
        found.update({id_: None} if id_ in kept else nearest[id_])
    return found


def _graph(activities: Pairs) -> dict[str, Collection[str]]:
    graph = dict(activities)
    for dependencies in graph.values():
        for id_ in dependencies:
            if id_ not in graph:
                raise _unknown(id_, graph)
    return graph


def _prepared(
    graph: Mapping[str, Collection[str]], position: Mapping[str, int] | None = None
) -> TopologicalSorter[str]:
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        order = position or {id_: index for index, id_ in enumerate(graph)}
        raise Cycle(_turned(error.args[1], order)) from None
    return sorter


def _turned(circle: Sequence[str], position: Mapping[str, int]) -> list[str]:
    """The circle from its first activity in definition order; graphlib lists what is depended on first."""
    ids = list(reversed(circle[1:]))
    start = ids.index(min(ids, key=position.__getitem__))
    return [*ids[start:], *ids[:start], ids[start]]


def _dependents(graph: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    dependents: defaultdict[str, list[str]] = defaultdict(list)
    for id_, dependencies in graph.items():
        for dependency in dict.fromkeys(dependencies):
            dependents[dependency].append(id_)
    return dependents


def _closure(edges: Mapping[str, Collection[str]], ids: Iterable[str]) -> frozenset[str]:
    found: set[str] = set()
    pending = list(ids)
    while pending:
        fresh = [id_ for id_ in edges.get(pending.pop(), ()) if id_ not in found]
        found.update(fresh)
        pending += fresh
    return frozenset(found)


def _unknown(id_: str, graph: Mapping[str, object]) -> UnknownThing:
    return UnknownThing(
        f"there is no activity {id_!r} in this graph", remedy=f"the activities are: {', '.join(graph) or 'none'}"
    )
