"""``cancel`` and ``stop``."""

import asyncio
import sys
from pathlib import Path

from runner.assembly.installation import Installation, open_installation
from runner.cli.background import stop_background
from runner.cli.commands.crew import Crew
from runner.cli.commands.following import Follower
from runner.cli.commands.look import load_known
from runner.cli.commands.sending import send_command
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.views.progress import PlainProgress
from runner.cli.views.text import STATES
from runner.engine.plan import Plan
from runner.engine.state import Orchestration, OrchestrationState

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
    print(f"{oid}: {STATES[int(state.state)]}", file=sys.stderr)
    return Exit.COMPLETED if state.state is OrchestrationState.CANCELLED else Exit.ERRORED


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
