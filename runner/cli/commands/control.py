"""``cancel`` and ``stop``."""

import asyncio
import sys
from pathlib import Path
from typing import Literal

from runner.assembly.installation import Installation, open_installation
from runner.cli.background import stop_background
from runner.cli.commands.crew import Crew
from runner.cli.commands.following import Follower
from runner.cli.commands.look import load_known
from runner.cli.commands.run import exit_of
from runner.cli.commands.sending import send_command, send_completion
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.views.progress import PlainProgress
from runner.cli.views.result import print_results
from runner.cli.views.text import STATES
from runner.engine.plan import Plan
from runner.engine.state import Orchestration, OrchestrationState
from runner.errors import Refused
from runner.model.loading import parse_assignment
from runner.protocol.messages import Answer

_OTHERS_SECONDS = 2.5
"""How long another engine and agent may take to answer before this command does their work itself."""


def cancel_command(oid: str, reason: str, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Cancel an orchestration and wait for its end; works whether or not anything else runs."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> Orchestration:
        async with open_installation(project, nats, environment) as installation:
            plan, state = await load_known(installation, oid)
            return state if state.is_terminal else await _cancel(installation, plan, oid, reason)

    state = run_async(work())
    cancelled = state.state is OrchestrationState.CANCELLED
    instead = "" if cancelled else "; there was nothing left to cancel"
    print(f"{oid}: {STATES[int(state.state)]}{instead}", file=sys.stderr)
    return Exit.COMPLETED if cancelled else Exit.ERRORED


async def _cancel(installation: Installation, plan: Plan, oid: str, reason: str) -> Orchestration:
    follower = Follower(installation, [oid], PlainProgress())
    async with follower.following():
        await send_command(installation, oid, "cancel", reason=reason)
        ended = asyncio.create_task(follower.until_all_ended())
        await asyncio.wait({ended}, timeout=_OTHERS_SECONDS)
        if not ended.done():
            async with Crew(installation, [plan], frozenset({oid})).working():
                await ended
        await ended
    return follower.ended[oid]


def retry_command(
    oid: str, activity: str, output: str, project_folder: Path, data_dir: Path | None, nats: str | None
) -> Exit:
    """Begin the next generation and follow it to its end; works whether or not anything else runs."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> Exit:
        async with open_installation(project, nats, environment) as installation:
            plan, state = await load_known(installation, oid)
            _refuse_retry(plan, state, activity)
            ended = await _retry(installation, plan, state, activity)
            await print_results(installation, [ended], output, each=False)
            return exit_of([ended], timed_out=False)

    return run_async(work())


def _refuse_retry(plan: Plan, state: Orchestration, activity: str) -> None:
    doing = f"retrying orchestration '{state.oid}'"
    if not state.is_terminal:
        raise Refused(
            f"{doing}: it has not ended", remedy=f"cancel it first, or follow it: tierform logs -f {state.oid}"
        )
    if activity and activity not in plan.activities:
        raise Refused(
            f"{doing}: it has no activity '{activity}'", remedy=f"its activities are: {', '.join(plan.activities)}"
        )
    if state.state is OrchestrationState.COMPLETED and not activity:
        raise Refused(f"{doing}: it has completed", remedy="name the activity to run from again with --from")
    if not state.activities:
        raise Refused(f"{doing}: it never started: {state.error}", remedy="start a new one")


async def _retry(installation: Installation, plan: Plan, state: Orchestration, activity: str) -> Orchestration:
    follower = Follower(installation, [state.oid], PlainProgress(), after_generation=state.generation)
    async with follower.following():
        await send_command(installation, state.oid, "retry", activity=activity)
        async with Crew(installation, [plan], frozenset({state.oid})).working():
            await follower.until_all_ended()
    return follower.ended[state.oid]


def pause_command(
    oid: str,
    command: Literal["pause", "resume"],
    reason: str,
    project_folder: Path,
    data_dir: Path | None,
    nats: str | None,
) -> Exit:
    """Pause or resume, and return once the engine has taken it."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)
    wanted = command == "pause"

    async def work() -> Exit:
        async with open_installation(project, nats, environment) as installation:
            _, state = await load_known(installation, oid)
            if state.is_terminal or state.is_stopping:
                raise Refused(
                    f"trying to {command} orchestration '{oid}': it {'has ended' if state.is_terminal else 'is ending'}"
                )
            await send_command(installation, oid, command, reason=reason)
            engine = asyncio.create_task(installation.engine().run())
            try:
                while state.paused != wanted and not state.is_terminal:
                    await asyncio.sleep(0.05)
                    _, state = await load_known(installation, oid)
            finally:
                engine.cancel()
                await asyncio.gather(engine, return_exceptions=True)
            return Exit.COMPLETED

    code = run_async(work())
    print(f"{oid}: {'paused; what runs goes on' if wanted else 'goes on'}", file=sys.stderr)
    return code


def complete_command(
    oid: str,
    activity: str,
    token: str,
    outcome: Literal["complete", "fail", "data"],
    error: str,
    assignments: list[str],
    project_folder: Path,
    data_dir: Path | None,
    nats: str | None,
) -> Exit:
    """Complete, fail or give data to a waiting activity, and say what the engine answered."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> Answer:
        async with open_installation(project, nats, environment) as installation:
            plan, state = await load_known(installation, oid)
            if activity not in state.activities:
                raise Refused(f"completing activity '{activity}' of orchestration '{oid}': there is none that started")
            schema = plan.planned(activity).output_schema or {}
            outputs = dict(parse_assignment(text, schema) for text in assignments)
            concealed = await installation.confidential.conceal_outputs(outputs, (), schema, oid)
            engine = asyncio.create_task(installation.engine().run())
            try:
                return await send_completion(
                    installation, oid, activity, token, outcome, error=error, outputs=concealed
                )
            finally:
                engine.cancel()
                await asyncio.gather(engine, return_exceptions=True)

    answer = run_async(work())
    if not answer.live:
        raise Refused(f"completing activity '{activity}' of orchestration '{oid}': {answer.reason}")
    print(f"{oid}: activity '{activity}' took it", file=sys.stderr)
    return Exit.COMPLETED


def stop_command(project_folder: Path, data_dir: Path | None) -> Exit:
    """End the background worker gracefully, then the embedded server."""
    from runner.embedded import stop  # noqa: PLC0415 - the one command that needs it

    project, _ = open_project(project_folder, data_dir)
    if not project.data.root.is_dir():
        print(f"nothing runs in '{project.data.root}'", file=sys.stderr)
        return Exit.COMPLETED

    async def work() -> bool:
        def told() -> None:
            print("stopping: running activities are interrupted gracefully", file=sys.stderr)

        worked = await stop_background(project.data.root, told)
        return await stop(project.data.root) or worked

    stopped = run_async(work())
    print("stopped; everything is kept" if stopped else f"nothing runs in '{project.data.root}'", file=sys.stderr)
    return Exit.COMPLETED
