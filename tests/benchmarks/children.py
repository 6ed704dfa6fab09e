"""Processes that a benchmark starts: they end with it, however it ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 20


def die_with_parent() -> None:
    """For ``preexec_fn``: a benchmark that is killed leaves nothing behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Child:
    """A Python process of this folder.

    Args:
        script: File in this folder.
        arguments: Its command line.
        environment: Laid over this process's own.
    """

    def __init__(self, script: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(FOLDER / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - calls prctl alone
        )
        self.pid = self._process.pid

    def wait_ready(self) -> None:
        """Return when it has printed a line."""
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            message = f"a process of the benchmark ended with code {self._process.wait()}"
            raise RuntimeError(message)

    def stop(self) -> None:
        """Close its standard input, which ends it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mib(pid: int, *, peak: bool = False) -> float:
    """Resident memory of a process, now or at its peak."""
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
