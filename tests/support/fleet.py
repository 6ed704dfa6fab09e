"""A server, engines and agents as processes of the real command line, to be killed, frozen and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ledger_processor import LEDGER
from nats_server import NatsServer, _die_with_parent

FOLDER = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("tierform")
_PATIENCE_SECONDS = 45.0


class Member:
    """One process by a name; it may have died, and be started again.

    Args:
        name: Unique in its fleet.
        command: Argument list.
        environment: All of it.
        log: Its standard error.
    """

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.exits: list[int] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls prctl alone
            )

    def send(self, number: signal.Signals) -> None:
        if self.is_running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_PATIENCE_SECONDS)

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> int | None:
        """Its exit code, or None when it goes on running."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class ServerMember:
    """The server, in the same words."""

    name = "server"

    def __init__(self, server: NatsServer) -> None:
        self.server = server

    @property
    def pid(self) -> int:
        assert self.server._process is not None
        return self.server._process.pid

    def is_running(self) -> bool:
        return self.server._process is not None and self.server._process.poll() is None

    def start(self) -> None:
        self.server.start()

    def send(self, number: signal.Signals) -> None:
        if self.is_running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.server.kill()


class Fleet:
    """Everything that runs.

    Args:
        folder: For projects, data, logs and the ledger.
        store: For the server's configuration and storage.
        definitions: The project's.
        engines: How many.
        agents: How many.
    """

    def __init__(
        self, folder: Path, store: Path, definitions: list[dict[str, object]], engines: int = 2, agents: int = 4
    ) -> None:
        self.folder = folder
        self.ledger = folder / "ledger.jsonl"
        self.ledger.touch()
        self.key = folder / "key"
        self.server = ServerMember(NatsServer(store, max_file_store="1TB"))
        self._install_processor()
        project = folder / "project" / "orchestrations"
        project.mkdir(parents=True)
        (project / "all.json").write_text(json.dumps(definitions), encoding="utf-8")
        self.engines = [self._member(f"engine-{n}", "serve") for n in range(engines)]
        self.agents = [self._member(f"agent-{n}", "agent") for n in range(agents)]

    def _install_processor(self) -> None:
        """As a package would be: found by its entry point."""
        information = self.folder / "site" / "chaos_ledger-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos-ledger\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[tierform.processors]\nledger = ledger_processor:create\n")

    def _member(self, name: str, command: str, *options: str) -> Member:
        where = ["--nats", self.server.server.url, "--data-dir", str(self.folder / name)]
        arguments = [str(COMMAND), command, *where, *options]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join([str(FOLDER), str(self.folder / "site"), os.environ.get("PYTHONPATH", "")]),
            "TIERFORM_PROJECT": str(self.folder / "project"),
            "TIERFORM_KEY_FILE": str(self.key),
            "TIERFORM_NATS_TOKEN": self.server.server.token,
            LEDGER: str(self.ledger),
        }
        return Member(name, arguments, environment, self.folder / f"{name}.log")

    def add_engine(self) -> Member:
        """Start one more."""
        engine = self._member(f"engine-{len(self.engines)}", "serve")
        self.engines.append(engine)
        engine.start()
        return engine

    def add_agent(self, *options: str) -> Member:
        """Start one more."""
        agent = self._member(f"agent-{len(self.agents)}", "agent", *options)
        self.agents.append(agent)
        agent.start()
        return agent

    @property
    def workers(self) -> list[Member]:
        return [*self.engines, *self.agents]

    def start(self) -> None:
        """Start everything; returns when an engine has registered the definitions."""
        self.server.start()
        for member in self.workers:
            member.start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not any("registered" in engine.log.read_text() for engine in self.engines):
            if time.monotonic() > deadline:
                message = f"no engine started:\n{self.engines[0].log.read_text()}"
                raise TimeoutError(message)
            time.sleep(0.02)

    def heal(self) -> None:
        """Have everything run again."""
        for member in [self.server, *self.workers]:
            member.send(signal.SIGCONT)
            if not member.is_running():
                member.start()

    def drain(self) -> dict[str, int | None]:
        """End every worker as an operator would; their exit codes."""
        for member in self.workers:
            member.send(signal.SIGTERM)
        return {member.name: member.wait() for member in self.workers}

    def end(self) -> None:
        """At once, whatever the state."""
        for member in self.workers:
            member.kill()
        self.server.kill()
