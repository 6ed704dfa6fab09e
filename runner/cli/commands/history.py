"""``history`` and ``verify``: the log of an orchestration, as it is."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from runner.assembly.installation import Installation, open_installation
from runner.cli.commands.look import load_known
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.views.text import first_line, json_text
from runner.engine.facts import Fact
from runner.engine.presentation import timestamp
from runner.engine.record import Record, fold, fold_facts
from runner.engine.state import Orchestration
from runner.messaging.ports import Entry

_SHOWN = ("attempt", "lease", "delivery", "agent", "by", "cause", "reason", "error", "text", "state", "dueMillis")


def history_command(oid: str, output: str, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Every transition: when, what, which attempt, which agent."""
    records = _records(oid, project_folder, data_dir, nats)
    if output == "json":
        print(json_text([_document(entry, record) for entry, record in records]))
        return Exit.COMPLETED
    for _, record in records:
        for fact in record.facts:
            print(f"{record.number:5}  {timestamp(record.at_millis)}  {_line(fact)}")
    return Exit.COMPLETED


def _records(oid: str, project_folder: Path, data_dir: Path | None, nats: str | None) -> list[tuple[Entry, Record]]:
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> list[tuple[Entry, Record]]:
        async with open_installation(project, nats, environment) as installation:
            await load_known(installation, oid)
            return await installation.orchestrations.history(oid)

    return run_async(work())


def _document(entry: Entry, record: Record) -> dict[str, Any]:
    return {
        "number": record.number,
        "sequence": entry.sequence,
        "at": timestamp(record.at_millis),
        "engine": record.engine,
        "events": record.events,
        "facts": [msgspec.to_builtins(fact) for fact in record.facts],
    }


def _line(fact: Fact) -> str:
    members = msgspec.to_builtins(fact)
    details = [
        f"{name}={first_line(str(members[name]))}" for name in _SHOWN if members.get(name) not in (None, "", 0, [])
    ]
    return "  ".join([members["fact"].ljust(17), members.get("activity", "").ljust(16), *details]).rstrip()


def verify_command(oid: str | None, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Fold logs from their first records and compare with every snapshot, the numbering and the response."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> dict[str, list[str]]:
        async with open_installation(project, nats, environment) as installation:
            ids = [oid] if oid is not None else await _all(installation)
            return {one: await _problems(installation, one) for one in ids}

    found = run_async(work())
    for one, problems in found.items():
        for problem in problems:
            print(f"{one}: {problem}")
    wrong = sum(bool(problems) for problems in found.values())
    print(f"{len(found) - wrong} of {len(found)} histories verify", file=sys.stderr)
    return Exit.ERRORED if wrong else Exit.COMPLETED


async def _all(installation: Installation) -> list[str]:
    loaded = [await installation.orchestrations.load_token(token) for token in await installation.orchestrations.ids()]
    return [one.orchestration.oid for one in loaded if one.orchestration is not None]


async def _problems(installation: Installation, oid: str) -> list[str]:
    _, state = await load_known(installation, oid)
    records = [record for _, record in await installation.orchestrations.history(oid)]
    problems = log_problems(records)
    if not problems and fold(records) != state:
        problems.append("the state that is read is not the fold of the log")
    if state.is_terminal:
        subject = installation.subjects.response(oid, state.generation)
        responses = await installation.messaging.log.read(subject)
        if len(responses) != 1:
            problems.append(f"generation {state.generation} has {len(responses)} responses, not one")
    return problems


def log_problems(records: list[Record]) -> list[str]:
    """Where a log contradicts itself."""
    problems: list[str] = []
    state: Orchestration | None = None
    for expected, record in enumerate(records, start=1):
        if record.number != expected:
            problems.append(f"record {expected} has the number {record.number}")
        state = fold_facts(state, record.facts, record.at_millis)
        if record.snapshot is not None and record.snapshot != state:
            problems.append(f"the snapshot of record {record.number} is not the fold of the facts")
    return problems
