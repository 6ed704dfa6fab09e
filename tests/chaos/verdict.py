"""Compares what a chaos run left behind with what had to come of it."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import Client, Submitted, patiently
from faults import Freeze
from workload import Activity, expected_undone, expected_values, values_of

from runner.cli.commands.history import log_problems
from runner.engine.effects import response_of
from runner.engine.facts import Completed, Dispatched, Retried
from runner.engine.record import Record, fold
from runner.engine.state import Orchestration, OrchestrationState
from runner.messaging.ports import Entry
from runner.protocol.messages import Response, decode

_WAKING_SECONDS = 0.5
"""An agent that stood still between taking a task and beginning it begins when it wakes, whatever happened meanwhile."""

Line = dict[str, Any]
Key = tuple[str, int, str]


@dataclass(slots=True)
class Verdict:
    """What was wrong, by orchestration, and what was counted."""

    problems: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, oid: str, problems: Iterable[str]) -> None:
        for problem in problems:
            self.problems.setdefault(oid, []).append(problem)


class Ledger:
    """The side effects: lines by orchestration, generation and activity."""

    def __init__(self, file: Path, freezes: Sequence[Freeze]) -> None:
        self._freezes = freezes
        self.lines: dict[Key, list[Line]] = {}
        for text in file.read_text().splitlines():
            line = json.loads(text)
            self.lines.setdefault((line["oid"], line["generation"], line["activity"]), []).append(line)

    def late(self, key: Key, completed: float) -> tuple[list[Line], list[Line]]:
        """Beginnings after the completion was durable: those nothing excuses, and those of a process just woken."""
        found = [line for line in self.lines.get(key, []) if line["what"] == "begin" and line["at"] > completed]
        woken = [line for line in found if self._had_just_woken(line, completed)]
        return [line for line in found if line not in woken], woken

    def _had_just_woken(self, line: Line, completed: float) -> bool:
        return any(
            freeze.pid == line["pid"]
            and freeze.began < completed < freeze.ended
            and freeze.ended - _WAKING_SECONDS < line["at"] < freeze.ended + _WAKING_SECONDS
            for freeze in self._freezes
        )

    def repeated(self) -> int:
        """Side effects that were begun more than once: the deliveries after the first one of each lease."""
        begun = Counter(
            (key, line["lease"]) for key, lines in self.lines.items() for line in lines if line["what"] == "begin"
        )
        return sum(count - 1 for count in begun.values())


async def judge(client: Client, ledger: Ledger) -> Verdict:
    """Look at every orchestration."""
    verdict = Verdict()
    verdict.counts["side effects begun"] = sum(
        line["what"] == "begin" for lines in ledger.lines.values() for line in lines
    )
    verdict.counts["side effects repeated before completion"] = ledger.repeated()
    for one in client.submitted.values():
        entries = await patiently(lambda oid=one.oid: client.store.history(oid))
        loaded = await patiently(lambda oid=one.oid: client.store.load(oid))
        records = [record for _, record in entries]
        verdict.counts["records"] += len(records)
        verdict.add(one.oid, log_problems(records))
        if loaded.orchestration is None or fold(records) != loaded.orchestration:
            verdict.add(one.oid, ["the state that is read is not the fold of the log"])
            continue
        verdict.counts[loaded.orchestration.state.name.lower()] += 1
        verdict.add(one.oid, wrong_end(one, loaded.orchestration))
        verdict.add(one.oid, repeated_dispatches(records))
        verdict.add(one.oid, await _wrong_responses(client, one, records))
        verdict.add(one.oid, _late_effects(one, entries, ledger, verdict.counts))
    return verdict


def wrong_end(one: Submitted, state: Orchestration) -> list[str]:
    """Where the state differs from what the definition and the input make of it."""
    kind, found = one.kind, []
    if state.state is not kind.ends or state.generation != kind.generations:
        found.append(f"ended {state.state.name} in generation {state.generation}: {state.error}")
    elif state.state is OrchestrationState.COMPLETED:
        last = next(value for value in reversed(values_of(kind, one.seed).values()))
        if state.values != expected_values(kind, one.seed):
            found.append(f"the context is {state.values}, not {expected_values(kind, one.seed)}")
        if state.output != {"v": last}:
            found.append(f"the output is {state.output}, not {last}")
    elif state.state is OrchestrationState.COMPENSATED:
        if set(state.undone) != expected_undone(kind) or state.not_undone:
            found.append(f"undone: {state.undone}, not undone: {state.not_undone}")
    elif any(_must_not_run(one, activity) for activity in kind.activities if activity.id in state.activities):
        found.append("something ran that could not be reached")
    return found


def _must_not_run(one: Submitted, activity: Activity) -> bool:
    return one.kind.ends is OrchestrationState.CANCELLED and bool({"h", "w"} & set(activity.needs))


def repeated_dispatches(records: Sequence[Record]) -> list[str]:
    """Activities that were dispatched after they had completed, within one generation."""
    found, completed = [], set()
    for fact in (fact for record in records for fact in record.facts):
        if isinstance(fact, Retried):
            completed -= set(fact.rerun)
        elif isinstance(fact, Completed):
            if fact.activity in completed:
                found.append(f"'{fact.activity}' completed twice")
            completed.add(fact.activity)
        elif isinstance(fact, Dispatched) and fact.activity in completed:
            found.append(f"'{fact.activity}' was dispatched after it had completed")
    return found


async def _wrong_responses(client: Client, one: Submitted, records: Sequence[Record]) -> list[str]:
    """Each generation has one response, and it says what the state said at its end."""
    found = []
    for generation, state in ends_of(records).items():
        subject = client.subjects.response(one.oid, generation)
        responses = [
            decode(Response, entry.data) for entry in await patiently(lambda s=subject: client.messaging.log.read(s))
        ]
        if responses != [response_of(state)]:
            found.append(f"generation {generation} has these responses: {responses}")
    return found


def ends_of(records: Sequence[Record]) -> dict[int, Orchestration]:
    """The state at the end of each generation."""
    found = {}
    for number in range(1, len(records) + 1):
        state = fold(records[:number]) if records[number - 1].snapshot or number == len(records) else None
        if state is not None and state.is_terminal:
            found[state.generation] = state
    return found


def _late_effects(
    one: Submitted, entries: Sequence[tuple[Entry, Record]], ledger: Ledger, counts: Counter[str]
) -> list[str]:
    """Activities that completed without a side effect, or that began again after that was durable."""
    found, generation = [], 1
    for entry, record in entries:
        for fact in record.facts:
            if isinstance(fact, Retried):
                generation = fact.generation
            elif isinstance(fact, Completed):
                key = (one.oid, generation, fact.activity)
                counts["activities completed"] += 1
                late, woken = ledger.late(key, entry.at.timestamp())
                counts["begun after completion by an agent just woken"] += len(woken)
                found += [
                    f"'{fact.activity}' completed at {entry.at.timestamp()} and began again: {line}" for line in late
                ]
                if not any(line["what"] == "end" for line in ledger.lines.get(key, [])):
                    found.append(f"'{fact.activity}' completed in generation {generation} and was never done")
    return found
