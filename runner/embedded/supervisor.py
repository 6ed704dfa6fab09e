"""The supervisor of one data folder's nats-server. Runs by its path with ``python -I -S``: the standard library alone.

Theory of operation
-------------------
Four lock files, each a plain ``flock``, which the kernel releases however a process dies:

==================  ==========================================================================================
``supervisor.lock``  held exclusively by the one supervisor; its text is the supervisor's process id
``holders.lock``     held shared by every process that uses the server; taken exclusively by the supervisor when
                     nobody holds it, which it tries ten times a second, and then kept until it has ended
``server.lock``      inherited by nats-server, so held until that process is gone; the next one waits for it
``starter.lock``     held by the process that starts a supervisor, so that others wait instead of starting theirs
==================  ==========================================================================================

So the last holder's death, by kill -9 too, ends the server within a fraction of a second; and a process that comes just
then waits for its share until the supervisor is gone, sees that there is none, and starts another. If the supervisor is
killed, the kernel sends nats-server a SIGTERM (``PR_SET_PDEATHSIG``); the next `attach` or `ensure` starts both again on
the same port with the same token, and clients reconnect.

``keep`` (written by `hold`) makes the supervisor stay without holders until `stop` or the next boot.
"""

# pathlib and contextlib cost as much start-up time as all the rest, hence:
# ruff: noqa: PTH105, PTH108, PTH118, PTH123, SIM105, S606
import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import time

TICK_SECONDS = 0.1
READY_SECONDS = 20.0
LOCK_SECONDS = 0.3
TERMINATE_SECONDS = 8.0
PORT_TRIES = 5
LONGEST_BACKOFF_SECONDS = 5.0
LOG_BYTES = 256 * 1024
_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Files:
    """The files of one supervisor, below the data folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.supervisor_lock = os.path.join(folder, "supervisor.lock")
        self.holders_lock = os.path.join(folder, "holders.lock")
        self.server_lock = os.path.join(folder, "server.lock")
        self.starter_lock = os.path.join(folder, "starter.lock")
        self.endpoint = os.path.join(folder, "endpoint.json")
        self.identity = os.path.join(folder, "identity.json")
        self.keep = os.path.join(folder, "keep")
        self.stopped = os.path.join(folder, "stopped")
        self.configuration = os.path.join(folder, "server.conf")
        self.server_log = os.path.join(folder, "server.log")
        self.log = os.path.join(folder, "supervisor.log")


class StartFailed(Exception):
    """The server did not come up; the text says why."""


def boot_id() -> str:
    """Changes with every boot of the machine."""
    try:
        return _read("/proc/sys/kernel/random/boot_id").strip()
    except OSError:
        return ""


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write_private(path: str, text: str) -> None:
    """Write a file of mode 0600 that is either the old or the new one at every moment."""
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def remove(path: str) -> None:
    """Remove a file; none is no error."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def open_lock(path: str) -> int:
    """A descriptor to lock; closing it unlocks."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, kind: int) -> bool:
    """Lock if that is possible now; ``kind`` is LOCK_SH or LOCK_EX."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_lock(descriptor: int, seconds: float) -> bool:
    """Lock exclusively within so many seconds."""
    end = time.monotonic() + seconds
    while not try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= end:
            return False
        time.sleep(0.002)
    return True


def accepts(port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Supervisor:
    """Keeps one nats-server running as long as somebody holds it."""

    def __init__(self, files: Files, binary: str) -> None:
        self.files = files
        self.binary = binary
        self.holders = open_lock(files.holders_lock)
        self.instance = os.urandom(8).hex()
        self.server = 0
        self.started = time.time()
        self.port, self.token = self._identity()

    def _identity(self) -> tuple[int, str]:
        """The same port and token as last time, so that clients that lost the server find it again."""
        try:
            known = json.loads(_read(self.files.identity))
            return int(known["port"]), str(known["token"])
        except (OSError, ValueError, KeyError, TypeError):
            return _free_port(), os.urandom(24).hex()

    # The server

    def start_server(self) -> None:
        """Start nats-server and wait until it takes connections; on another port when somebody has ours.

        Raises:
            StartFailed: It ended instead, or took too long.
        """
        for _ in range(PORT_TRIES):
            lock = open_lock(self.files.server_lock)
            try:
                self._await_predecessor(lock)
                if accepts(self.port):
                    self.port = _free_port()
                self._write_configuration()
                self.server = self._spawn(lock)
            finally:
                os.close(lock)
            if self._wait_ready():
                self._announce()
                return
            reason = self._last_error()
            if "address already in use" not in reason:
                raise StartFailed(reason)
            self.port = _free_port()
        raise StartFailed("no free port")

    def _write_configuration(self) -> None:
        identity = {"port": self.port, "token": self.token}
        write_private(self.files.identity, json.dumps(identity))
        # Paths are relative to the working directory: nothing to quote.
        text = (
            f'server_name: "tierform-embedded"\nlisten: "127.0.0.1:{self.port}"\n'
            f'authorization {{ token: "{self.token}" }}\n'
            'jetstream { store_dir: "store", sync_interval: always, max_memory_store: 64MB, max_file_store: 1TB }\n'
            'log_file: "server.log"\nlog_size_limit: 1048576\nlog_max_num: 2\n'
        )
        write_private(self.files.configuration, text)

    def _await_predecessor(self, lock: int) -> None:
        """A server whose supervisor was killed may still be ending, on our port."""
        if not wait_lock(lock, TERMINATE_SECONDS):
            raise StartFailed("the previous nats-server of this folder does not end; see server.log")

    def _spawn(self, lock: int) -> int:
        os.set_inheritable(lock, True)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            self._become_server(parent)
        return child

    def _become_server(self, parent: int) -> None:
        """In the child: turn into nats-server, which dies with its parent."""
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == parent:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
                os.chdir(self.files.folder)
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, 0)
                os.dup2(null, 1)
                os.execv(self.binary, [self.binary, "-c", "server.conf"])
        except OSError as error:
            os.write(2, f"{self.binary}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def _wait_ready(self) -> bool:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.reap():
                return False
            if accepts(self.port):
                return True
            time.sleep(0.003)
        self.stop_server()
        raise StartFailed(f"nats-server did not take connections within {READY_SECONDS:g} s")

    def _announce(self) -> None:
        endpoint = {
            "v": 1,
            "url": f"nats://127.0.0.1:{self.port}",
            "port": self.port,
            "token": self.token,
            "instance": self.instance,
            "supervisor": os.getpid(),
            "server": self.server,
            "startedAt": self.started,
        }
        write_private(self.files.endpoint, json.dumps(endpoint))

    def _last_error(self) -> str:
        for path in (self.files.server_log, self.files.log):
            try:
                lines = _read(path)[-8192:].splitlines()
            except OSError:
                continue
            for line in reversed(lines):
                if "[FTL]" in line or "[ERR]" in line or (path == self.files.log and line):
                    return line.rpartition("] ")[2]
        return "nats-server ended without a word"

    def reap(self) -> bool:
        """Whether there is no server (any more)."""
        if self.server:
            done, _ = os.waitpid(self.server, os.WNOHANG)
            if done:
                self.server = 0
        return not self.server

    def stop_server(self) -> None:
        """End it, gently at first."""
        if self.server:
            os.kill(self.server, signal.SIGTERM)
            end = time.monotonic() + TERMINATE_SECONDS
            while not self.reap():
                if time.monotonic() > end:
                    os.kill(self.server, signal.SIGKILL)
                time.sleep(0.002)

    # The holders

    def is_unheld(self) -> bool:
        """Whether nobody holds the server and nobody asked to keep it; once true, nobody can come any more."""
        if not try_lock(self.holders, fcntl.LOCK_EX):
            return False
        if not self._is_kept():
            return True
        fcntl.flock(self.holders, fcntl.LOCK_UN)
        return False

    def _is_kept(self) -> bool:
        try:
            return _read(self.files.keep) == boot_id()
        except OSError:
            return False

    def run(self) -> None:
        """Until nobody holds the server or somebody stops it."""
        backoff = TICK_SECONDS
        while not self.is_unheld():
            received = signal.sigtimedwait(_SIGNALS, TICK_SECONDS)
            if received is not None and received.si_signo == signal.SIGTERM:
                write_private(self.files.stopped, self.instance)
                break
            if not self.reap():
                continue
            log(f"nats-server ended: {self._last_error()}; starting it again")
            try:
                self.start_server()
                backoff = TICK_SECONDS
            except (StartFailed, OSError) as error:
                log(f"nats-server does not start: {error}")
                time.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
        self.stop_server()
        remove(self.files.endpoint)


def log(text: str) -> None:
    """One line into the supervisor's log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        if os.fstat(2).st_size > LOG_BYTES:
            os.ftruncate(2, 0)
        os.write(2, f"{stamp} {text}\n".encode("utf-8", "replace"))
    except OSError:
        pass  # a full disk; the log is not worth dying for


def _report(text: str) -> None:
    """One line to the process that started this one."""
    try:
        os.write(1, f"{text}\n".encode("utf-8", "replace"))
    except OSError:
        pass  # it is gone


def _detach(files: Files) -> None:
    """Keep nothing of the starter but the pipe on standard output."""
    os.umask(0o077)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    descriptor = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def supervise(folder: str, binary: str) -> None:
    """The supervisor's life; returns at once when there is another one."""
    files = Files(folder)
    lock = open_lock(files.supervisor_lock)
    if not wait_lock(lock, LOCK_SECONDS):
        return
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    remove(files.endpoint)
    remove(files.stopped)
    supervisor = Supervisor(files, binary)
    try:
        supervisor.start_server()
    except StartFailed as error:
        log(f"nats-server does not start: {error}")
        _report(f"error: {error}")
        return
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.close(null)
    try:
        supervisor.run()
    finally:
        os.close(lock)


def main() -> None:
    """Called as ``supervisor.py FOLDER BINARY`` in a session of its own; the first process only forks."""
    if os.fork():
        os._exit(0)
    folder, binary = sys.argv[1:]
    try:
        _detach(Files(folder))
        supervise(folder, binary)
    except OSError as error:
        log(str(error))
        _report(f"error: {error.filename or folder}: {error.strerror}")


if __name__ == "__main__":
    main()
