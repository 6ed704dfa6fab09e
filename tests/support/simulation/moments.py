"""The facts of all logs one by one, each with the state before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulation.evidence import Evidence, Transition

from runner.engine import facts as f
from runner.engine.plan import Plan
from runner.engine.record import fold_facts
from runner.engine.state import Orchestration

Violations = Iterator[str]
RESULTS = (f.Completed, f.Waiting, f.Scheduled, f.Retrying, f.Failed)


@dataclass(frozen=True, slots=True)
class Moment:
    """One fact, and the state just before it."""

    oid: str
    plan: Plan
    transition: Transition
    fact: f.Fact
    state: Orchestration

    def activity(self) -> Any:
        """State of the fact's activity before it; None when it is not known yet."""
        return self.state.activities.get(self.fact.activity)  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return f"{self.oid} record {self.transition.record.number} ({self.transition.at:.3f} s): {self.fact}"


def moments(evidence: Evidence) -> Iterator[Moment]:
    """Every fact of every log, but the first."""
    for oid, log in evidence.logs.items():
        plan = evidence.plan(oid)
        for transition in log:
            state = transition.before
            for fact in transition.record.facts:
                if state is not None:
                    yield Moment(oid, plan, transition, fact, state)
                state = fold_facts(state, [fact], transition.record.at_millis)


def is_the_engines_own(fact: f.Fact) -> bool:
    """Whether the engine itself came to this failure, without a report."""
    return isinstance(fact, f.Failed) and ("stopped answering" in fact.error or "it waited" in fact.error)
