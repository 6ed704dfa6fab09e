"""Using the embedded server: attach, keep it, stop it, ask about it."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runner.embedded import supervisor
from runner.embedded.binary import find_server
from runner.embedded.folder import clear_errors, prepare
from runner.embedded.supervisor import Files, open_lock, try_lock
from runner.errors import Refused, TierformError, Unreachable

PATIENCE = timedelta(seconds=30)
_POLL_SECONDS = 0.003
_GUARD_SECONDS = 0.5
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class Endpoint:
    """A share in the running server; the server lives as long as there is one.

    The share belongs to this process: it ends with `release` or with the process, however that dies. Children made by
    a bare ``fork`` inherit it; those of ``subprocess`` do not.
    """

    def __init__(self, data_dir: Path, files: Files, share: int) -> None:
        self.data_dir = data_dir
        self._files = files
        self._share: int | None = share
        self._facts: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """``nats://127.0.0.1:<port>``."""
        return str(self._facts["url"])

    @property
    def token(self) -> str:
        """Whoever has it may do everything on the server."""
        return str(self._facts["token"])

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor when this was last looked at."""
        return int(self._facts["supervisor"])

    @property
    def server_pid(self) -> int:
        """Process id of nats-server when this was last looked at."""
        return int(self._facts["server"])

    async def ensure(self) -> None:
        """Start the server again if it or its supervisor died; on the same port, so that clients reconnect.

        Raises:
            Refused: `stop` ended it on purpose, or this share was released.
            Unreachable: It does not start.
        """
        if self._share is None:
            raise Refused(f"the share in the server of {str(self.data_dir)!r} was released")
        if _is_supervised(self._files):
            return
        if self._facts and _text(self._files.stopped) == self._facts["instance"]:
            raise Refused(f"the server of {str(self.data_dir)!r} was stopped", remedy="run the command again")
        await self._come_up()

    async def guard(self) -> None:
        """`ensure` for ever, twice a second; run it as a task beside a long-lived connection.

        Raises:
            Refused: See `ensure`.
        """
        while True:
            with suppress(Unreachable):
                await self.ensure()
            await asyncio.sleep(_GUARD_SECONDS)

    async def _come_up(self) -> None:
        with clear_errors(self.data_dir):
            self._facts = await _wait_for_server(self.data_dir, self._files)

    def keep(self) -> None:
        """Have the server stay without holders, until `stop` or the next boot."""
        with clear_errors(self.data_dir):
            supervisor.write_private(self._files.keep, supervisor.boot_id())

    def release(self) -> None:
        """Give the share back; idempotent. Close connections first: the server may end at once."""
        if self._share is not None:
            os.close(self._share)
            self._share = None

    async def __aenter__(self) -> Self:
        """The endpoint itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`release`."""
        self.release()


@dataclass(frozen=True, slots=True)
class Status:
    """What runs in a data folder.

    Attributes:
        running: Whether a supervisor is there and its server is ready.
        kept: Whether it stays without holders.
        url: Empty when not running.
        supervisor_pid: 0 when not running.
        server_pid: 0 when not running.
        started_at: When the supervisor started; None when not running.
    """

    running: bool
    kept: bool = False
    url: str = ""
    supervisor_pid: int = 0
    server_pid: int = 0
    started_at: datetime | None = None


async def attach(data_dir: Path) -> Endpoint:
    """A share in the data folder's server, which is started when none runs and is ready when this returns.

    Raises:
        runner.errors.NewerData: A newer version wrote the folder.
        runner.errors.InvalidUsage: The folder can't be used, or nats-server is not installed.
        runner.errors.Unreachable: The disk is full, or the server does not start; the detail has its own words.
    """
    files = prepare(data_dir)
    with clear_errors(data_dir):
        share = await _take_share(files)
    endpoint = Endpoint(data_dir, files, share)
    try:
        await endpoint._come_up()  # noqa: SLF001 - the two belong together
    except BaseException:
        endpoint.release()
        raise
    return endpoint


async def hold(data_dir: Path) -> Endpoint:
    """`attach`, and leave the server running on purpose when the last share ends, until `stop`."""
    endpoint = await attach(data_dir)
    endpoint.keep()
    return endpoint


async def stop(data_dir: Path) -> bool:
    """End the server whoever holds it, and wait until it is gone.

    Returns:
        False when none was running.

    Raises:
        Unreachable: It does not end.
    """
    files = Files(str(data_dir / "nats"))
    if not (data_dir / "nats").is_dir():
        return False
    with clear_errors(data_dir):
        supervisor.remove(files.keep)
        if not _is_supervised(files):
            return False
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(_text(files.supervisor_lock)), signal.SIGTERM)
        end = time.monotonic() + PATIENCE.total_seconds()
        while _is_supervised(files):
            if time.monotonic() > end:
                raise Unreachable(f"the supervisor of {str(data_dir)!r} does not end", remedy=f"see {files.log}")
            await asyncio.sleep(_POLL_SECONDS)
    return True


def status(data_dir: Path) -> Status:
    """What runs there now; starts nothing and writes nothing."""
    files = Files(str(data_dir / "nats"))
    kept = _text(files.keep) == supervisor.boot_id() != ""
    facts = _read_endpoint(files) if _is_supervised(files) else None
    if facts is None:
        return Status(running=False, kept=kept)
    started = datetime.fromtimestamp(facts["startedAt"], UTC)
    return Status(True, kept, facts["url"], facts["supervisor"], facts["server"], started)


async def _take_share(files: Files) -> int:
    """Wait, if need be, until a supervisor that is ending has ended."""
    descriptor = open_lock(files.holders_lock)
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while not try_lock(descriptor, fcntl.LOCK_SH):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(_POLL_SECONDS)
    except BaseException as error:
        os.close(descriptor)
        if not isinstance(error, TimeoutError):
            raise
        detail = f"the server in {files.folder!r} does not end"
        raise Unreachable(detail, remedy=f"see {files.log}") from error
    return descriptor


async def _wait_for_server(data_dir: Path, files: Files) -> dict[str, Any]:
    """Facts of the ready server; becomes the one that starts it when nobody else does."""
    end = time.monotonic() + PATIENCE.total_seconds()
    starter = open_lock(files.starter_lock)
    try:
        while time.monotonic() < end:
            facts = _ready(files)
            if facts is not None:
                return facts
            if try_lock(starter, fcntl.LOCK_EX):
                if not _is_supervised(files):
                    await _start(data_dir, files, end)
                fcntl.flock(starter, fcntl.LOCK_UN)
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        os.close(starter)
    detail = f"the server in {files.folder!r} was not ready within {PATIENCE.total_seconds():g} s"
    raise Unreachable(detail, remedy=f"see {files.log} and {files.server_log}")


def _ready(files: Files) -> dict[str, Any] | None:
    facts = _read_endpoint(files)
    if facts is None or not _is_supervised(files) or _text(files.supervisor_lock) != str(facts["supervisor"]):
        return None
    return facts if supervisor.accepts(facts["port"]) else None


async def _start(data_dir: Path, files: Files, end: float) -> None:
    """Start a supervisor and wait until it is ready or says why not."""
    command = [sys.executable, "-I", "-S", supervisor.__file__, files.folder, str(find_server())]
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # The pipe brings the reason of a failure; the first process only forks, so that nobody has to reap the supervisor.
    process = subprocess.Popen(  # noqa: ASYNC220 - returns in a millisecond
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, start_new_session=True, cwd="/"
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                words = os.read(pipe.fileno(), 4096)
                process.wait()
                if words:
                    raise _failure(words.decode("utf-8", "replace"), data_dir, files)
                return  # the end of the pipe: the supervisor is ready, or left because there is another
            await asyncio.sleep(_POLL_SECONDS)
    await asyncio.to_thread(process.wait)


def _failure(words: str, data_dir: Path, files: Files) -> TierformError:
    reason = words.strip().removeprefix("error: ")
    full = "no space left" in reason.lower()
    remedy = "free some disk space" if full else f"see {files.log} and {files.server_log}"
    return Unreachable(f"starting the embedded NATS server in {str(data_dir)!r}: {reason}", remedy=remedy)


def _is_supervised(files: Files) -> bool:
    """Whether a supervisor lives: only then is its lock taken."""
    try:
        descriptor = os.open(files.supervisor_lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _read_endpoint(files: Files) -> dict[str, Any] | None:
    with suppress(ValueError):
        facts = json.loads(_text(files.endpoint))
        if isinstance(facts, dict):
            return facts
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - the supervisor's paths are strings
            return file.read()
    except OSError:
        return ""
