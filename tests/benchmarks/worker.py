"""One engine or one agent as a process of its own, over somebody's nats-server; ends when its standard input closes."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop
from sampling import sampled

from runner.activity import ActivityContext, ActivityResult, ProcessorEnvironment
from runner.assembly.installation import Installation, open_installation
from runner.assembly.settings import EnvironmentSettings
from runner.cli.session import configure_log
from runner.project.folder import Project

AGENT_CONCURRENCY = 64


class NoOp:
    """Does nothing; an activity with discriminator ``wait`` waits for ever."""

    def __init__(self, environment: ProcessorEnvironment) -> None:
        del environment

    async def process(self, context: ActivityContext) -> ActivityResult:
        return ActivityResult.wait() if context.discriminator == "wait" else ActivityResult.complete()


async def _engine(installation: Installation) -> None:
    await installation.engine().run()


async def _agent(installation: Installation, types: list[str]) -> None:
    agent, providers = installation.agent(concurrency=AGENT_CONCURRENCY, factories={"noop": NoOp})
    try:
        await agent.run(types)
    finally:
        await agent.abandon()
        await providers.close()


async def _input_closed() -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), closed.set)
    await closed.wait()


async def _work(options: argparse.Namespace) -> None:
    project = Project.at(options.project)
    configure_log(project)
    environment = EnvironmentSettings(key_file=options.key, nats_token=options.token, prefix=options.prefix)
    async with open_installation(project, options.url, environment) as installation:
        part: Coroutine[Any, Any, None] = (
            _engine(installation) if options.role == "engine" else _agent(installation, options.type)
        )
        work = asyncio.create_task(part)
        print("ready", flush=True)  # noqa: T201
        await asyncio.wait({work, asyncio.create_task(_input_closed())}, return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def main() -> None:
    """Run until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["engine", "agent"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--prefix", default="tierform")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--type", action="append", default=[])
    parser.add_argument("--profile", type=Path, help="Write a profile there.")
    options = parser.parse_args()
    with sampled(options.profile):
        uvloop.run(_work(options))


if __name__ == "__main__":
    main()
