"""The driver for a Terraform or OpenTofu of the user's choice."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from processors.terraform import commands
from processors.terraform.binary.arguments import build
from processors.terraform.driver import DEFAULT_GRACE_SECONDS, Command, OnEvent, Outcome, OutputReader, Place, Versions
from processors.terraform.memory import MemoryFile
from processors.terraform.supervision import WorkerPool, WorkerProcess
from processors.terraform.supervision.process import Order
from runner.errors import Fatal

_COULD_NOT_START = 127


def find_executable(name: str, search_path: str) -> Path:
    """The executable of that name on ``search_path``, or at that path.

    Raises:
        Fatal: There is none.
    """
    found = shutil.which(name, path=search_path)
    if found is None:
        raise Fatal(
            f"looking for the Terraform executable {name!r}: there is none that can be executed",
            remedy="give config.binary the path of one, put it on the agent's PATH, or leave it out to use the embedded Terraform",
        )
    return Path(found).absolute()


class BinaryDriver:
    """Runs an executable under the supervision of a worker process.

    Args:
        executable: Its absolute path.
        most: Commands at the same time.
    """

    def __init__(self, executable: Path, *, most: int = 0) -> None:
        self._executable = executable
        self._pool = WorkerPool(_spawn, most=most)
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
        arguments, files = build(command, str(self._executable))
        reader = OutputReader(streams=command.streams, on_event=on_event)
        request = {
            "arguments": arguments,
            "directory": str(place.directory),
            "grace": grace_seconds,
            "executable": str(self._executable),
            "environment": dict(place.environment),
        }
        order = Order(
            request=request,
            lock=place.lock,
            files=[file.descriptor for file in files],
            on_stdout=reader.stdout,
            on_stderr=reader.stderr,
            stop=stop or asyncio.Event(),
        )
        async with self._pool.worker(_own_environment(place)) as worker:
            ended = await worker.run(order)
        outcome = reader.outcome(ended.code, died=ended.died or ended.code < 0)
        if outcome.exit_code == _COULD_NOT_START:
            raise Fatal(f"starting {str(self._executable)!r}: {outcome.stderr.strip()}", remedy="check config.binary")
        return outcome

    async def versions(self, environment: Mapping[str, str]) -> Versions:
        """See ``Driver.versions``; the executable is asked once."""
        if self._versions is None:
            with MemoryFile("tierform-no-lock") as lock:
                place = Place(Path("/"), environment, lock.descriptor)
                outcome = await self.run(commands.version(), place)
            self._versions = _versions(outcome, self._executable)
        return self._versions

    async def close(self) -> None:
        """End the supervisors; one at work sees its command through first."""
        await self._pool.close()


def _versions(outcome: Outcome, executable: Path) -> Versions:
    try:
        version = json.loads(outcome.stdout)["terraform_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise Fatal(
            f"asking {str(executable)!r} for its version: it answered {outcome.stdout[:200]!r} {outcome.stderr[:200]!r}",
            remedy="config.binary must name Terraform 1.9 or later, or OpenTofu 1.8 or later",
        ) from error
    product = "tofu" if "tofu" in executable.name else "terraform"
    return Versions(product, version, str(executable))


def _own_environment(place: Place) -> dict[str, str]:
    # All that a Python may need to start; Terraform's environment comes with each command.
    return {name: value for name, value in place.environment.items() if name == "LD_LIBRARY_PATH"}


async def _spawn(environment: Mapping[str, str]) -> WorkerProcess:
    return await WorkerProcess.start(["executable"], environment)
