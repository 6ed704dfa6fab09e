"""The agent's side of one worker process."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform.memory import MemoryFile
from runner.errors import Unreachable

_WORKER = Path(__file__).with_name("worker.py")
_READ_BYTES = 1 << 16
_CRASH_TEXT_BYTES = 4000
_START_SECONDS = 60.0
# How long after the end of a command its output may still be on the way, should a stray grandchild hold the pipe open.
_LINGER_SECONDS = 1.0

OnOutput = Callable[[bytes], None]


class WorkerDied(Unreachable):
    """The process that ran Terraform was killed from outside, or Terraform crashed it."""

    code = "worker_died"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code; negative for a signal.
        died: Whether the whole worker went with it, by a kill or a crash.
    """

    code: int
    died: bool = False


@dataclass(slots=True)
class Order:
    """What a worker is to run.

    Attributes:
        request: ``{"arguments", "directory", "grace"}`` and, for an executable, ``"executable"`` and ``"environment"``.
        lock: Descriptor of the workspace's lock; the worker keeps a duplicate until the command has ended.
        files: Descriptors that arguments refer to by index.
        on_stdout: Called with each piece of standard output, on the loop.
        on_stderr: The same for standard error.
        stop: Setting it interrupts the command once.
    """

    request: Mapping[str, Any]
    lock: int
    files: Sequence[int]
    on_stdout: OnOutput
    on_stderr: OnOutput
    stop: asyncio.Event


class WorkerProcess:
    """One worker; see ``supervision/worker.py`` for the protocol.

    It runs one command at a time. Closing it, or dying, makes it finish gracefully by itself.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket, crash: MemoryFile) -> None:
        self._process = process
        self._control = control
        self._crash = crash
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._last_words = ""
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._reap)
        self._loop.add_reader(control, self._hear)
        self.commands = 0

    @classmethod
    async def start(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> "WorkerProcess":
        """Start one and wait until it is ready.

        Raises:
            WorkerDied: It did not come up.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        crash = MemoryFile("tierform-worker-stderr")
        command = [sys.executable, "-I", "-S", str(_WORKER), str(theirs.fileno()), *arguments]
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 - a vfork of a millisecond
                command,
                stdin=subprocess.DEVNULL,
                stdout=crash.descriptor,
                stderr=crash.descriptor,
                pass_fds=[theirs.fileno()],
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )
        worker = cls(process, ours, crash)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker._next()
        except BaseException:
            worker.abandon()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process id, which is the session's too."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can take another command."""
        return not self._gone.is_set() and self._control.fileno() >= 0

    def resident_bytes(self) -> int:
        """Its memory now; 0 when it is gone."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        except OSError:
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def run(self, order: Order) -> Ended:
        """Run a command to its end, streaming its output.

        When the calling task is cancelled, the worker is let go: it interrupts the command and sees it through alone.
        """
        self.commands += 1
        pipes = (os.pipe(), os.pipe())
        outputs = [
            _Pipe(pipe[0], on_output) for pipe, on_output in zip(pipes, (order.on_stdout, order.on_stderr), strict=True)
        ]
        try:
            self._send_run(order, pipes)
            code = await self._supervise(order.stop)
        except WorkerDied:
            await self._drain(outputs)
            return Ended(await self._returncode(), died=True)
        except BaseException:
            self.abandon()
            raise
        else:
            await self._drain(outputs)
            return Ended(code)
        finally:
            for output in outputs:
                output.close()

    async def inspect(self, directory: Path) -> dict[str, Any]:
        """What is wrong with the root module in ``directory``, in Terraform's words; workers with the library only.

        Raises:
            WorkerDied: The worker crashed over it.
        """
        self.commands += 1
        with MemoryFile("tierform-inspect", json.dumps({"directory": str(directory)}).encode()) as reply:
            socket.send_fds(self._control, [b'{"do":"inspect"}'], [reply.descriptor])
            try:
                await self._next()
            except BaseException:
                self.abandon()
                raise
            return json.loads(reply.read())  # type: ignore[no-any-return]

    def interrupt(self) -> None:
        """Interrupt the running command, once; it is killed when its grace is over."""
        self._order("stop")

    def kill(self) -> None:
        """Kill the running command and all it started."""
        self._order("kill")

    def abandon(self) -> None:
        """Let go of it: it finishes by itself what it is doing, gracefully, and ends."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()
        if not self._answer.done():
            self._answer.cancel()

    async def close(self) -> None:
        """Let go of it and wait until it has ended."""
        self.abandon()
        await self._gone.wait()

    def _send_run(self, order: Order, pipes: Sequence[tuple[int, int]]) -> None:
        with MemoryFile("tierform-request", json.dumps(order.request).encode()) as request:
            descriptors = [request.descriptor, order.lock, *pipes[0], *pipes[1], *order.files]
            try:
                socket.send_fds(self._control, [b'{"do":"run"}'], descriptors)
            except OSError as error:
                raise WorkerDied(f"talking to worker {self.pid}: {error.strerror}") from error
            finally:
                for _, write_end in pipes:
                    os.close(write_end)

    async def _supervise(self, stop: asyncio.Event) -> int:
        stopper = asyncio.ensure_future(stop.wait())
        answer = asyncio.ensure_future(self._next())
        try:
            await asyncio.wait({stopper, answer}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.interrupt()
            return int((await answer)["code"])
        finally:
            stopper.cancel()
            answer.cancel()

    async def _drain(self, outputs: Sequence["_Pipe"]) -> None:
        waits = [asyncio.ensure_future(output.ended.wait()) for output in outputs]
        _, late = await asyncio.wait(waits, timeout=_LINGER_SECONDS)
        for wait in late:
            wait.cancel()

    async def _next(self) -> dict[str, Any]:
        answer = await self._answer
        self._answer = self._loop.create_future()
        if not answer:
            raise WorkerDied(f"worker {self.pid} of Terraform ended unexpectedly{await self._crash_text()}")
        return answer

    async def _crash_text(self) -> str:
        await self._gone.wait()
        text = self._last_words
        return f" ({self._process.returncode}): {text}" if text else f" ({self._process.returncode})"

    async def _returncode(self) -> int:
        await self._gone.wait()
        return int(self._process.returncode)

    def _order(self, what: str) -> None:
        try:
            self._control.send(json.dumps({"do": what}).encode())
        except OSError:
            return  # It is gone, or going: the end is noticed elsewhere.

    def _hear(self) -> None:
        try:
            data = self._control.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control)
            self._control.close()
        if not self._answer.done():
            self._answer.set_result(json.loads(data) if data else {})

    def _end_session(self) -> None:
        # Providers of a Terraform that was killed work for nobody; while its leader is not waited for, the id is its own.
        # After an orderly end nothing is touched: a module may have started a daemon on purpose.
        status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        if status is not None and status.si_code != os.CLD_EXITED:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._end_session()
        self._process.wait()
        self._last_words = self._crash.read()[:_CRASH_TEXT_BYTES].decode(errors="replace").strip()
        self._crash.close()
        self._gone.set()
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()
        if not self._answer.done():
            self._answer.set_result({})


class _Pipe:
    """The read end of a pipe on the loop."""

    def __init__(self, descriptor: int, on_output: OnOutput) -> None:
        self._descriptor = descriptor
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._on_output(data)
        else:
            self._loop.remove_reader(self._descriptor)
            self.ended.set()

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
