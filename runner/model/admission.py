"""Whether a schema leaves room for what a reference asks of its values.

A schema excludes a name when it lists ``properties`` and the name is not among them, unless ``patternProperties`` match
it or ``additionalProperties`` is true or a schema. (JSON Schema itself would allow any further property; a definition
that lists its outputs means the list, and a misspelt reference is worth more than a property nobody declared.) It also
excludes what its types cannot hold: anything inside a string, a name inside an array. A schema that says nothing of
this excludes nothing.

Source: The Orchestrator, "Resource Model: Orchestrations and Activities".
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from runner.model.compiled import Node, compiled
from runner.model.sensitivity import item_schemas, member_schemas


class Verdict(Enum):
    """What one schema says of one segment."""

    ADMITTED = "admitted"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


def first_excluded(schema: Any, segments: Sequence[str]) -> int | None:
    """Which of ``segments``, read from the outermost inwards, is the first that the schema excludes; None for none."""
    nodes = [compiled(schema).root]
    for index, segment in enumerate(segments):
        verdict, nodes = _any_of([_asked(node, segment, frozenset()) for node in nodes])
        if verdict is Verdict.EXCLUDED:
            return index
        if verdict is Verdict.UNKNOWN:
            return None
    return None


def verdict_on(schema: Any, name: str) -> Verdict:
    """What the schema says of a property."""
    return _asked(compiled(schema).root, name, frozenset())[0]


def listed_names(schema: Any) -> list[str]:
    """The properties that the schema lists, also behind references and in alternatives; sorted."""
    nodes = compiled(schema).root.spread()
    return sorted(
        {name for node in nodes if isinstance(node.schema, Mapping) for name in node.schema.get("properties", {})}
    )


_Answer = tuple[Verdict, list[Node]]


def _asked(node: Node, segment: str, seen: frozenset[int]) -> _Answer:
    if not isinstance(node.schema, Mapping) or id(node.schema) in seen:
        return Verdict.UNKNOWN, []
    seen |= {id(node.schema)}
    target = node.target()
    behind = ([target] if target else []) + [node.at(part) for part in node.schema.get("allOf", ())]
    answers = [_own(node, segment), *(_asked(part, segment, seen) for part in behind)]
    alternatives = [node.schema[keyword] for keyword in ("anyOf", "oneOf") if keyword in node.schema]
    answers += [_any_of([_asked(node.at(part), segment, seen) for part in parts]) for parts in alternatives]
    return _all_of(answers)


def _any_of(answers: Iterable[_Answer]) -> _Answer:
    """Alternatives: one that admits is enough, and one that says nothing leaves it open."""
    return _first(answers, Verdict.ADMITTED, Verdict.UNKNOWN, Verdict.EXCLUDED)


def _all_of(answers: Iterable[_Answer]) -> _Answer:
    """Schemas of one value: what one lists is known, though another lists only its own."""
    return _first(answers, Verdict.ADMITTED, Verdict.EXCLUDED, Verdict.UNKNOWN)


def _first(answers: Iterable[_Answer], *order: Verdict) -> _Answer:
    given = list(answers)
    verdict = next(verdict for verdict in order if any(verdict is one for one, _ in given))
    return verdict, [node for one, nodes in given if one is verdict for node in nodes]


def _own(node: Node, segment: str) -> _Answer:
    schema, kinds = node.schema, _kinds(node.schema)
    if kinds and not kinds & {"object", "array"}:
        return Verdict.EXCLUDED, []
    if segment.isdecimal() and "array" in (kinds or {"array"}) and (items := item_schemas(schema, int(segment[:9]))):
        return Verdict.ADMITTED, [node.at(part) for part in items]
    if kinds == {"array"}:
        return (Verdict.UNKNOWN if segment.isdecimal() else Verdict.EXCLUDED), []
    members = member_schemas(schema, segment)
    if [part for part in members if part is not False]:
        return Verdict.ADMITTED, [node.at(part) for part in members]
    return (Verdict.EXCLUDED if members or "properties" in schema else Verdict.UNKNOWN), []


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    kinds = schema.get("type", ())
    return {kinds} if isinstance(kinds, str) else set(kinds)
