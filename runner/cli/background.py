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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import Unreachable
from runner.project.folder import Project

_LOCK = "background.lock"
_START_SECONDS = 15.0


async def ensure_background(project: Project) -> None:
    """Start the data folder's background worker unless it runs, and return once it works.

    Raises:
        Unreachable: It did not start in time; the detail names its log.
    """
    if background_pid(project.data.root) is not None:
        return
    log = project.data.logs / "background.log"
    command = [sys.executable, "-m", "runner.cli.background"]
    command += ["--project", str(project.root), "--data-dir", str(project.data.root)]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it outlives this process
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    for _ in range(int(_START_SECONDS / 0.05)):
        if background_pid(project.data.root) is not None:
            return
        if process.poll() is not None and process.returncode != 0:
            break
        await asyncio.sleep(0.05)
    raise Unreachable(f"starting the background worker: it did not start; see '{log}'")


def background_pid(data_dir: Path) -> int | None:
    """The process id of the worker that runs, or None."""
    try:
        with (data_dir / _LOCK).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text else None
    except FileNotFoundError:
        return None
    return None


def stop_background(data_dir: Path) -> int | None:
    """Ask the worker to drain and end; returns its process id, or None when none runs."""
    pid = background_pid(data_dir)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    return pid


@contextmanager
def _only_one(data_dir: Path) -> Iterator[bool]:
    """Whether this process is the data folder's worker."""
    with (data_dir / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield True


async def _work(project: Project) -> None:
    from runner.assembly.installation import open_installation  # noqa: PLC0415 - the rest of this module is light
    from runner.assembly.settings import read_environment  # noqa: PLC0415
    from runner.cli.commands.crew import Crew  # noqa: PLC0415

    async with open_installation(project, None, read_environment()) as installation:
        crew = Crew(installation, (), None)
        async with crew.working():
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
    with _only_one(project.data.root) as alone:
        if alone:
            run_async(_work(project))


if __name__ == "__main__":
    main()
