"""A project of its own in a temporary folder, and the real command on it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("tierform")
_PATIENCE_SECONDS = 40.0

# Appends one line to a ledger for every creation, so that a repeated side effect shows.
NOTE_MODULE = """
variable "name" { type = string }
variable "ledger" { type = string }
variable "delay" {
  type    = number
  default = 0
}

locals { what = trimspace(file("${path.module}/what.txt")) }

resource "terraform_data" "note" {
  input = { name = var.name, what = local.what, ledger = var.ledger }
  provisioner "local-exec" {
    command     = "echo began $WHAT >> \\"$LEDGER\\"; sleep ${var.delay}; echo made $WHAT >> \\"$LEDGER\\""
    environment = { WHAT = "${local.what} ${var.name}", LEDGER = var.ledger }
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "echo gone $WHAT >> \\"$LEDGER\\""
    environment = { WHAT = "${self.output.what} ${self.output.name}", LEDGER = self.output.ledger }
  }
}

output "name" { value = terraform_data.note.output.name }
output "facts" { value = { name = var.name, list = [1, "two", { three = true }] } }
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.stdout)

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Sandbox:
    """A project folder, a data folder and a key file; `run` and `start` use the installed console script.

    Args:
        folder: Everything is made below it.
        data: The data folder, when it is not to be below ``folder``.
    """

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.data = data or folder / "data"
        self.key = folder / "key"
        self.ledger = folder / "ledger"
        self.home = folder / "home"
        self._started: list[Started] = []
        self.home.mkdir(parents=True, exist_ok=True)
        (self.project / "orchestrations").mkdir(parents=True, exist_ok=True)
        (self.project / "modules").mkdir(exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TIERFORM_PROJECT": str(self.project),
            "TIERFORM_DATA_DIR": str(self.data),
            "TIERFORM_KEY_FILE": str(self.key),
            "TIERFORM_CONCURRENCY": "4",
        }

    # Writing ----------------------------------------------------------------------------------------------------

    def module(self, name: str, text: str = NOTE_MODULE, **files: str) -> Path:
        """Write a module; further files by name, with ``__`` for the dot."""
        folder = self.project / "modules" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.tf").write_text(text, encoding="utf-8")
        for file, content in files.items():
            (folder / file.replace("__", ".")).write_text(content, encoding="utf-8")
        return folder

    def define(self, *definitions: dict[str, Any], file: str = "all.json") -> Path:
        """Write definitions into one file of the project."""
        path = self.project / "orchestrations" / file
        path.write_text(json.dumps(definitions), encoding="utf-8")
        return path

    def notes(self) -> "Sandbox":
        """Module ``note`` and the definitions that `note_definitions` describes."""
        self.module("note", what__txt__j2="{{ activity.id }}\n")
        self.define(*note_definitions())
        return self

    def inputs(self, name: str, delay: float = 0) -> list[str]:
        """Options with the inputs of the orchestrations of `notes`."""
        return ["-i", f"name={name}", "-i", f"ledger={self.ledger}", "-i", f"delay={delay}"]

    def lines(self) -> list[str]:
        """What the ledger holds."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    # Running ----------------------------------------------------------------------------------------------------

    def run(self, *arguments: object, text: str | None = None, timeout: float = 45, **environment: str) -> Ended:
        """Run the command to its end. Its pipes are read to theirs: a child that keeps one open runs into the timeout."""
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment | environment,
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object, **environment: str) -> "Started":
        """Start the command and leave it running."""
        started = Started(self, [str(argument) for argument in arguments], self.environment | environment)
        self._started.append(started)
        return started

    # Looking ----------------------------------------------------------------------------------------------------

    def show(self, oid: str) -> Any:
        """What ``show --output json`` says."""
        ended = self.run("show", oid, "--output", "json")
        assert ended.code == 0, ended
        return ended.json

    def statuses(self, oid: str) -> dict[str, str]:
        """Each activity's status."""
        return {line["id"]: line["status"] for line in self.show(oid)["activities"]}

    def processes(self) -> dict[int, str]:
        """Living processes that have this sandbox's folder in their arguments, environment, folder or open files."""
        return {pid: text for pid, text in _processes(str(self.folder), str(self.data)) if pid != os.getpid()}

    def assert_nothing_left(self) -> None:
        """Nobody lives on, nor does within seconds."""
        wait_until(lambda: not self.processes(), 8, lambda: f"left behind: {self.processes()}")

    def assert_no_traceback_in_logs(self) -> None:
        """No defect was written into a log file."""
        for path in self.data.rglob("*.log"):
            text = path.read_text(errors="replace")
            assert "Traceback" not in text, f"{path}\n{text[-4000:]}"

    def kill(self, word: str = "") -> None:
        """Send SIGKILL to its processes whose arguments have the word, each by its id."""
        for pid, text in self.processes().items():
            if word in text:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """End whatever a failed test left."""
        self.kill()
        for started in self._started:
            started.process.wait()


class Started:
    """A command that runs, its output going to files so that no pipe fills."""

    def __init__(self, sandbox: Sandbox, arguments: list[str], environment: dict[str, str]) -> None:
        number = time.monotonic_ns()
        self._out = sandbox.folder / f"{number}.stdout"
        self._err = sandbox.folder / f"{number}.stderr"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [str(COMMAND), *arguments],
                cwd=sandbox.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self._err.read_text(errors="replace")

    def until(self, text: str, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until it has said so."""

        def said() -> bool:
            assert text in self.stderr + self.stdout or self.process.poll() is None, self.ended()
            return text in self.stderr + self.stdout

        wait_until(said, seconds, lambda: f"not said: {text!r}\n{self.stdout}\n{self.stderr}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = _PATIENCE_SECONDS) -> Ended:
        """Wait for its end."""
        code = self.process.wait(seconds)
        assert "Traceback" not in self.stderr, self.stderr
        return Ended(code, self.stdout, self.stderr)


def note_definitions() -> list[dict[str, Any]]:
    """``note.deploy`` of one activity, ``notes.deploy`` of three in two tiers, ``notes.dispose``."""
    common = {"type": "object", "required": ["name", "ledger"]}
    properties = {
        "name": {"type": "string", "minLength": 1},
        "ledger": {"type": "string"},
        "delay": {"type": "number"},
        "last": {"type": "number"},
        "flag": {"type": "boolean"},
    }
    schema = {**common, "properties": properties}

    def activity(name: str, after: Iterable[str] = (), discriminator: str = "deploy") -> dict[str, Any]:
        made = {"id": name, "type": f"note.{name}", "discriminator": discriminator, "dependsOn": list(after)}
        return {**made, "inputs": ["name", "ledger", "delay"] if discriminator == "deploy" else ["name"]}

    types = [
        {
            "type": f"note.{name}",
            "provider": "terraform",
            "config": {"module": "note", "workspace": f"{{{{ name }}}}-{name}"},
            "retry": {"maxAttempts": 6, "initialIntervalMillis": 100},
        }
        for name in ("a", "b", "c")
    ]
    last = activity("c", ["a", "b"])
    last["inputs"] = [{"source": "a.facts.name", "target": "name"}, "ledger", {"source": "last", "target": "delay"}]
    disposed = [activity("c", [], "dispose"), activity("a", ["c"], "dispose"), activity("b", ["c"], "dispose")]
    return [
        *types,
        {"type": "note.deploy", "active": True, "schema": schema, "activities": [activity("a")]},
        {
            "type": "notes.deploy",
            "active": True,
            "schema": schema,
            "activities": [activity("a"), activity("b"), last],
            "output": [{"source": "c.name", "target": "name"}, {"source": "a.facts", "target": "facts"}],
        },
        {
            "type": "notes.dispose",
            "active": True,
            "schema": {"type": "object", "required": ["name"]},
            "activities": disposed,
        },
    ]


def wait_until(
    condition: Callable[[], bool], seconds: float = _PATIENCE_SECONDS, what: Callable[[], str] = str
) -> None:
    """Wait for it, with a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what() or "it did not come"
        time.sleep(0.02)


def together(*actions: Callable[[], None]) -> None:
    """Do them side by side, to the end of each: for tests that wait more than they work."""
    with ThreadPoolExecutor(len(actions)) as threads:
        futures = [threads.submit(action) for action in actions]
    for future in futures:
        future.result()


def _processes(*places: str) -> Iterable[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            arguments = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            environment = entry.joinpath("environ").read_bytes().decode("utf-8", "replace")
            folder = str(entry.joinpath("cwd").readlink())
        except OSError:
            continue  # It has ended meanwhile, or is somebody else's.
        if any(place in text for place in places for text in (arguments, environment, folder)):
            yield int(entry.name), arguments
