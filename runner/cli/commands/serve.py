"""``serve`` and ``agent``: engines and agents as processes of their own."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

from runner.assembly.installation import Installation, open_installation
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.target import project_definitions
from runner.errors import InvalidUsage, TierformError
from runner.executor.agent import Agent
from runner.interpreter.settings import EngineSettings

_LOOK_SECONDS = 0.5


def serve_command(
    keep_days: int, keep_count: int | None, project_folder: Path, data_dir: Path | None, nats: str | None
) -> Exit:
    """Register the project's definitions, then run an engine until SIGTERM."""
    settings = EngineSettings(keep_for=timedelta(days=keep_days) if keep_days else None, keep_count=keep_count)
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> Exit:
        async with open_installation(project, nats, environment) as installation:
            count = await _register(installation)
            engine = installation.engine(settings)
            _say(f"engine {engine.name} works, {count} orchestration definitions registered; SIGTERM ends it")
            return await _until_told(engine.run, engine.drain)

    return run_async(work())


async def _register(installation: Installation) -> int:
    if not installation.project.orchestrations.is_dir():
        return 0
    definitions = project_definitions(installation.project)
    definitions.check()
    for orchestration_type in definitions.orchestrations:
        await installation.publish(definitions, orchestration_type)
    return len(definitions.orchestrations)


def agent_command(
    types: Sequence[str],
    concurrency: int,
    drain_seconds: float,
    project_folder: Path,
    data_dir: Path | None,
    nats: str | None,
) -> Exit:
    """Run activities of the given types, or of every registered type there is a processor for, until SIGTERM."""
    if nats is None:
        raise InvalidUsage(
            "starting an agent: no server is named",
            remedy="give --nats URL (or TIERFORM_NATS); without one, `tierform run` works by itself",
        )
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> Exit:
        async with open_installation(project, nats, environment) as installation:
            agent, providers = installation.agent(concurrency=concurrency)
            _say(f"agent {agent.name} works on {', '.join(types) or 'every registered type'}; SIGTERM drains it")

            async def run() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(agent.run(types))
                    if not types:
                        group.create_task(_take_all(installation, agent, set(providers.names())))

            async def drain() -> None:
                await agent.drain_within(drain_seconds)

            try:
                return await _until_told(run, drain)
            finally:
                await agent.abandon()
                await providers.close()

    return run_async(work())


async def _take_all(installation: Installation, agent: Agent, providers: set[str]) -> None:
    """Take every registered activity type that a processor is installed for, now and later."""
    while True:
        try:
            for plan in await installation.plans.all_registered():
                plans = [plan, *([plan.compensation] if plan.compensation else [])]
                activities = [activity for one in plans for activity in one.activities.values()]
                agent.add(sorted({a.type for a in activities if a.provider in providers}))
        except TierformError as error:
            _say(f"looking for activity types: {error}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _until_told(run: Callable[[], Awaitable[None]], drain: Callable[[], Awaitable[None]]) -> Exit:
    """Run until the first SIGTERM or SIGINT, then drain; a second one ends at once."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    work = asyncio.ensure_future(run())
    told = asyncio.create_task(signals.get())
    try:
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return Exit.ERRORED
        _say("draining: no new work; once more ends at once")
        drained = asyncio.ensure_future(drain())
        again = asyncio.create_task(signals.get())
        await asyncio.wait({drained, again}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, again):
            task.cancel()
        return Exit.COMPLETED
    finally:
        told.cancel()
        work.cancel()
        await asyncio.gather(work, told, return_exceptions=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
