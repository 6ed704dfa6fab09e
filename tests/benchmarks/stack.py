"""A server of its own, one engine, two agents: each a process; and the yardstick on the same server."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from children import FOLDER, Child, cpu_seconds, memory_mib
from nats_server import NatsServer
from workload import ACTIVITY

AGENTS = 2


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs."""

    server: NatsServer
    prefix: str
    engine: Child
    agents: Sequence[Child]

    def cpu(self) -> dict[str, float]:
        """CPU seconds of engine, agents and server so far."""
        return {
            "engine": cpu_seconds(self.engine.pid),
            "agents": sum(cpu_seconds(agent.pid) for agent in self.agents),
            "server": cpu_seconds(self.server._process.pid),
        }

    def engine_mib(self) -> float:
        """Resident memory of the engine."""
        return memory_mib(self.engine.pid)

    def yardstick_rate(self, seconds: float) -> tuple[float, float]:
        """Activities a second of bare JetStream from one Python process, and CPU seconds of both for each."""
        before = cpu_seconds(self.server._process.pid)
        rate, own = self._yardstick("--rate-seconds", str(seconds))["rate"]
        return rate, own + (cpu_seconds(self.server._process.pid) - before) / (rate * seconds)

    def yardstick_latencies(self, rounds: int) -> list[float]:
        """Seconds of two publishes and two fetches in sequence."""
        return list(self._yardstick("--latency-rounds", str(rounds))["latency"])

    def _yardstick(self, *options: str) -> dict[str, Any]:
        command = [sys.executable, str(FOLDER / "yardstick.py"), "--url", self.server.url, "--token", self.server.token]
        done = subprocess.run([*command, *options], capture_output=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextmanager
def stack(*, sync_always: bool = False, prefix: str = "tierform", profile: Path | None = None) -> Iterator[Stack]:
    """Start everything; stop it all at the end."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tierform-bench-")))
        server = NatsServer(folder, sync_always=sync_always)
        server.start()
        cleanup.callback(server.stop)
        common = ["--url", server.url, "--token", server.token, "--prefix", prefix]

        def start(role: str, name: str, *options: str) -> Child:
            project = folder / name
            project.mkdir()
            key = folder / "key"
            extra = ["--profile", str(profile / f"{name}.txt")] if profile else []
            child = Child("worker.py", [role, *common, "--project", str(project), "--key", str(key), *options, *extra])
            cleanup.callback(child.stop)
            child.wait_ready()
            return child

        engine = start("engine", "engine")
        agents = [start("agent", f"agent-{number}", "--type", ACTIVITY) for number in range(AGENTS)]
        yield Stack(server, prefix, engine, agents)
