"""What a simulated run leaves behind for the invariants to judge."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from simulation.scenario import Scenario, Start

from runner.engine.plan import Plan
from runner.engine.record import Record
from runner.engine.state import Orchestration

EPOCH_MILLIS = 1_700_000_000_000
"""The hour on the wall when the loop's clock is at 0."""
STOP_GRACE_SECONDS = 3.0
"""How long an agent waits for a processor that was asked to stop."""
_REAL_TIME = re.compile(rb"timed out at [-0-9T:+]+")
"""Texts about deadlines name the hour on the wall."""


@dataclass(slots=True)
class Effect:
    """An entry of the ledger: a processor began to do something to the world.

    Attributes:
        mark: The bus's sequence at that time: what was appended before has a lower or the same one.
        at: The loop's time.
        until: When it ended, or its agent died.
        thawed_at: When its agent was woken last.
    """

    mark: int
    at: float
    until: float
    thawed_at: float
    agent: str
    oid: str
    activity: str
    attempt: int
    polls: int
    delivery: int
    inputs: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Transition:
    """One record with the states before and after it, folded from facts alone."""

    sequence: int
    at: float
    record: Record
    before: Orchestration | None
    after: Orchestration


@dataclass(slots=True)
class Evidence:
    """What a run left behind.

    Attributes:
        logs: By orchestration.
        responses: Bodies by orchestration and generation, in the order they were stored.
        acknowledged: Manifests and cancels that the bus took: ``("manifest", oid)``, ``("cancel", oid)``.
        loaded: What each engine that lived at the end had in memory: state and sequence.
        left: Messages that were still queued at the end, by queue.
        defects: What no engine or agent may ever say.
        dead: Dead letters.
        stopped: Processes that were told to end.
    """

    scenario: Scenario
    plans: Mapping[str, Plan]
    logs: dict[str, list[Transition]] = field(default_factory=dict)
    responses: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    ledger: list[Effect] = field(default_factory=list)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    loaded: list[tuple[str, str, Orchestration, int]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    dead: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    seconds: float = 0.0
    steps: int = 0

    def start(self, oid: str) -> Start:
        return next(start for start in self.scenario.starts if start.oid == oid)

    def plan(self, oid: str) -> Plan:
        return self.plans[self.start(oid).type]

    def state(self, oid: str) -> Orchestration | None:
        log = self.logs.get(oid)
        return log[-1].after if log else None

    def digest(self) -> str:
        """Of everything that happened, ids made at random left out: the same for the same seed."""
        text = hashlib.blake2b(digest_size=8)
        for oid, log in sorted(self.logs.items()):
            for one in log:
                text.update(f"{oid} {one.sequence} {one.at} {one.record.at_millis} {one.record.engine}".encode())
                text.update(_REAL_TIME.sub(b"", msgspec.json.encode(one.record.facts)))
        for effect in self.ledger:
            text.update(f"{effect.at} {effect.mark} {effect.agent} {effect.oid} {effect.activity}".encode())
        return text.hexdigest()
