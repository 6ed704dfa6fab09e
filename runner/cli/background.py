"""What ``run --detach`` leaves behind: an engine and an agent for everything in a data folder.

Run as ``python -m runner.cli.background --project DIR --data-dir DIR``. A lock file makes it one per data folder; it
holds the embedded server, so the supervisor stays until it ends. SIGTERM drains it.
"""

import argparse
import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from runner.errors import Unreachable
from runner.project.folder import Project

_LOCK = "background.lock"
_START_SECONDS = 15.0
_POLL_SECONDS = 0.02
_LOCK_TRIES = 25


async def ensure_background(project: Project) -> None:
    """Start the data folder's background worker unless it runs, and return once it works.

    Raises:
        Unreachable: It did not start in time; the detail names its log.
    """
    if _worker(project.data.root).ready:
        return
    log = project.data.logs / "background.log"
    command = [sys.executable, "-m", "runner.cli.background"]
    command += ["--project", str(project.root), "--data-dir", str(project.data.root)]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it outlives this process
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        if _worker(project.data.root).ready:
            return
        if process.poll() is not None and not _worker(project.data.root).running:
            break
        await asyncio.sleep(_POLL_SECONDS)
    raise Unreachable(
        "starting the background worker: it did not start; what is to be run is kept",
        remedy=f"see '{log}', and give the same command with the same --id again",
    )


async def stop_background(data_dir: Path, told: Callable[[], None]) -> bool:
    """Ask the worker to drain and end, and wait until it has; ``told`` is called in between. False when none ran."""
    worker = _worker(data_dir)
    asked = 0
    while worker.running:
        # Its process id is there a moment after its lock; a process that only waits to be reaped holds no lock.
        if worker.pid not in (0, asked):
            asked = worker.pid
            with suppress(ProcessLookupError):
                os.kill(asked, signal.SIGTERM)
                told()
        await asyncio.sleep(_POLL_SECONDS)
        worker = _worker(data_dir)
    return asked != 0


@dataclass(frozen=True, slots=True)
class _Worker:
    """What the lock file tells: ``PID`` while it starts, ``PID ready`` from then on."""

    running: bool
    pid: int = 0
    ready: bool = False


def _worker(data_dir: Path) -> _Worker:
    try:
        with (data_dir / _LOCK).open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, state = file.read().partition(" ")
                return _Worker(running=True, pid=int(pid or 0), ready=state == "ready")
    except FileNotFoundError:
        pass
    return _Worker(running=False)


@contextmanager
def _only_one(data_dir: Path) -> Iterator[TextIO | None]:
    """The lock file for the data folder's worker, None for any other process."""
    with (data_dir / _LOCK).open("a+") as file:
        if not _locked(file):
            yield None
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file


def _locked(file: TextIO) -> bool:
    """Whether the worker's lock is ours now; somebody who only looks holds it for a moment."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_SECONDS)
        else:
            return True
    return False


async def _work(project: Project, lock: TextIO) -> None:
    from runner.assembly.installation import open_installation  # noqa: PLC0415 - the rest of this module is light
    from runner.assembly.settings import read_environment  # noqa: PLC0415
    from runner.cli.commands.crew import Crew  # noqa: PLC0415

    async with open_installation(project, None, read_environment()) as installation:
        crew = Crew(installation, (), None)
        async with crew.working():
            lock.write(" ready")
            lock.flush()
            types = asyncio.create_task(crew.take_all_types())
            await crew.interrupted()
            types.cancel()
            await crew.drain()


def main() -> None:
    """Work until told to stop."""
    from runner.cli.session import configure_log, run_async  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="tierform background")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    project = Project.at(arguments.project, arguments.data_dir)
    configure_log(project)
    with _only_one(project.data.root) as lock:
        if lock is not None:
            run_async(_work(project, lock))


if __name__ == "__main__":
    main()
