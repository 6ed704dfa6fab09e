"""What every command that talks to the bus shares: the event loop, the installation, the log."""

import asyncio
import logging
import signal
import traceback
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from runner.assembly.settings import EnvironmentSettings, read_environment
from runner.project.disk import disk_errors_explained
from runner.project.folder import Project

T = TypeVar("T")


class _Threads(ThreadPoolExecutor):
    """Does not wait for a processor that never returns: its attempt was given up long before."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as its base has it
        super().shutdown(wait=False, cancel_futures=True)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on the quickest event loop there is.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came, and nobody in it listened for them.
    """
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    try:
        return run(_prepared(work))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


async def _prepared(work: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.set_default_executor(_Threads())
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def open_project(project: Path, data_dir: Path | None) -> tuple[Project, EnvironmentSettings]:
    """The project and the environment's settings; the log goes to a file of the data folder."""
    opened = Project.at(project, data_dir)
    return opened, read_environment()


def configure_log(project: Project) -> None:
    """Send what the program says of itself to ``logs/tierform.log`` in the data folder, which is made if need be.

    Raises:
        runner.errors.TierformError: The data folder can't be made or written to.
    """
    project.data.create()
    path = project.data.logs / "tierform.log"
    with disk_errors_explained(f"opening the log '{path}'"):
        stream = path.open("a", encoding="utf-8")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=stream, level=logging.WARNING)


def report_defect(error: Exception) -> str:
    """What to tell a user of an error that nobody foresaw; its traceback goes to the log, once there is one."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = f"this is a defect of Tierform: {type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
    if not structlog.is_configured():
        return f"{text}\n  → please report it with the command that you gave"
    structlog.get_logger("cli").exception("a defect", exc_info=error)
    return f"{text}\n  → please report it with the end of logs/tierform.log in the data folder"
