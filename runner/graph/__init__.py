"""The graph of an orchestration's activities: tiers, closures, restriction, and what its references resolve to.

Pure and standard library alone. Everything works on plain ``(id, depends_on)`` pairs and JSON values, so that the model
and the engine can both use it.
"""

from runner.graph.references import (
    ABSENT,
    Absent,
    default_target,
    is_secret_reference,
    parse_secret_reference,
    resolve,
    resolve_inputs,
    secret_reference,
    walk,
)
from runner.graph.tiers import Cycle, Pairs, cycles, downstream, restrict, reverse, tiers, upstream

__all__ = [
    "ABSENT",
    "Absent",
    "Cycle",
    "Pairs",
    "cycles",
    "default_target",
    "downstream",
    "is_secret_reference",
    "parse_secret_reference",
    "resolve",
    "resolve_inputs",
    "restrict",
    "reverse",
    "secret_reference",
    "tiers",
    "upstream",
    "walk",
]
