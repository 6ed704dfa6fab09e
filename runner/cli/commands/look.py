"""``list``, ``show``, ``logs``: looking, without changing anything."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from runner.assembly.installation import Installation, now_millis, open_installation
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.views.progress import PlainProgress
from runner.cli.views.text import STATES, duration, first_line, json_text, value_text
from runner.engine.plan import Plan
from runner.engine.presentation import activity_line, rest_form, timestamp
from runner.engine.state import Orchestration
from runner.errors import TierformError, UnknownThing
from runner.interpreter.orchestrations import Summary
from runner.protocol.messages import Live, decode

_ENTRY = (
    "id",
    "correlationId",
    "definitionId",
    "state",
    "stateTimestamp",
    "createdTimestamp",
    "orchestrationType",
)


def list_command(
    correlation_id: str | None, output: str, project_folder: Path, data_dir: Path | None, nats: str | None
) -> Exit:
    """Every orchestration, newest first."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> list[Summary]:
        async with open_installation(project, nats, environment) as installation:
            return await installation.orchestrations.summaries()

    states = [s for s in run_async(work()) if correlation_id is None or s.correlation_id == correlation_id]
    states.sort(key=lambda state: (-state.created_millis, state.oid))
    if output == "json":
        print(json_text([_entry(state) for state in states]))
    else:
        _print_list(
            states,
            "there are no orchestrations here yet; start one with: tierform run TYPE"
            if correlation_id is None
            else f"there is no orchestration with the correlation id '{correlation_id}'",
        )
    return Exit.COMPLETED


def _entry(state: Summary) -> dict[str, Any]:
    values = (
        state.oid,
        state.correlation_id,
        state.type,
        int(state.state),
        timestamp(state.state_millis),
        timestamp(state.created_millis),
        state.type,
    )
    return dict(zip(_ENTRY, values, strict=True))


def _print_list(states: list[Summary], nothing: str) -> None:
    if not states:
        print(nothing, file=sys.stderr)
        return
    rows = [("ID", "TYPE", "STATE", "CREATED", "CORRELATION ID")]
    rows += [(s.oid, s.type, STATES[int(s.state)], _clock(s.created_millis), s.correlation_id) for s in states]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _clock(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


async def load_known(installation: Installation, oid: str) -> tuple[Plan, Orchestration]:
    """An orchestration and its plan.

    Raises:
        UnknownThing: There is none of that id.
    """
    state = (await installation.orchestrations.load(oid)).orchestration
    if state is None:
        raise UnknownThing(
            f"looking for orchestration '{oid}': there is none of that id in this installation",
            remedy="`tierform list` shows those there are",
        )
    return await installation.plans.plan(state.bundle), state


def show_command(
    oid: str, output: str, reveal: bool, project_folder: Path, data_dir: Path | None, nats: str | None
) -> Exit:
    """One orchestration with its activities."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> tuple[Plan, Orchestration]:
        async with open_installation(project, nats, environment) as installation:
            plan, state = await load_known(installation, oid)
            if reveal:
                plain, _ = await installation.confidential.reveal(state.output, owner=oid)
                state = msgspec.structs.replace(state, output=plain)
            return plan, state

    plan, state = run_async(work())
    now = now_millis()
    lines = [activity_line(plan, state, name, now) for tier in plan.tiers for name in tier]
    if output == "json":
        print(json_text({**rest_form(plan, state), "activities": lines}))
    else:
        _print_show(plan, state, lines)
    return Exit.COMPLETED


def _print_show(plan: Plan, state: Orchestration, lines: list[dict[str, Any]]) -> None:
    print(f"{state.type}  {state.oid}")
    print(f"state      {STATES[int(state.state)]} since {_clock(state.state_millis)}")
    print(f"created    {_clock(state.created_millis)}{' by ' + state.by if state.by else ''}")
    if state.correlation_id:
        print(f"correlation id  {state.correlation_id}")
    if state.error:
        print(f"error      {state.error}")
    for warning in state.warnings:
        print(f"warning    {warning}")
    print("\nactivities")
    width = max(map(len, plan.activities), default=0)
    for line in lines:
        tier = f"tier {line['tier'] + 1}" if line["tier"] >= 0 else "-"
        why = f"  {line['why']}" if line["why"] else ""
        print(f"  {tier:8} {line['id'].ljust(width)}  {line['status']:10}{why}")
        activity = state.activities.get(line["id"])
        if activity is not None and activity.ended_millis and activity.started_millis:
            took = duration(activity.ended_millis - activity.started_millis)
            print(f"  {'':8} {''.ljust(width)}  attempt {activity.attempt}, {took}, {activity.agent}")
        if line["error"]:
            print("".join(f"      {text}\n" for text in line["error"].splitlines()), end="")
    if state.undone or state.not_undone:
        print("\ncompensation")
        print("".join(f"  undone      {name}\n" for name in state.undone), end="")
        print("".join(f"  not undone  {name}: {first_line(why)}\n" for name, why in state.not_undone.items()), end="")
    if state.output:
        print("\noutputs")
        for key, value in state.output.items():
            print(f"  {key} = {value_text(value)}")


def logs_command(oid: str, follow: bool, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """What was seen of an orchestration, and with ``follow`` what comes until it has ended."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> None:
        async with open_installation(project, nats, environment) as installation:
            _, state = await load_known(installation, oid)
            live = follow and not state.is_terminal
            view = PlainProgress(stream=sys.stdout, whole=True)
            subscription = await installation.messaging.feed.follow(installation.subjects.live(oid), live=live)
            try:
                async for message in subscription:
                    event = _read(message.data)
                    if event is None:
                        continue
                    view.take(event)
                    if live and any(fact.get("fact") == "ended" for fact in event.facts):
                        return
            finally:
                await subscription.close()

    run_async(work())
    return Exit.COMPLETED


def _read(data: bytes) -> Live | None:
    try:
        return decode(Live, data)
    except TierformError:
        return None  # Of a newer version, or not ours: the rest is still worth showing.
