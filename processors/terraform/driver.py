"""The port through which Terraform is run, and what crosses it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from processors.terraform.diagnostics import Diagnostic
from processors.terraform.memory import MemoryFile

Event = dict[str, Any]
OnEvent = Callable[[Event], None]

DEFAULT_GRACE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class FileValue:
    """An option's or argument's value that is a file in memory; each driver hands it over under a path of its own."""

    file: MemoryFile


Value = str | bool | FileValue | tuple["str | FileValue", ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One Terraform command, as data.

    Attributes:
        name: ``plan``, or ``state pull``.
        options: By name without dashes; True is a flag without a value, a tuple repeats the option.
        arguments: What follows the options.
        streams: Whether it prints one JSON object per line (``plan -json``) rather than one document (``show -json``).
    """

    name: str
    options: Mapping[str, Value] = field(default_factory=dict)
    arguments: tuple[str | FileValue, ...] = ()
    streams: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command runs.

    Attributes:
        directory: The configuration's folder: the working directory.
        environment: All of its environment.
        lock: Descriptor of the held lock of the workspace; whoever runs Terraform keeps a duplicate until it has ended.
    """

    directory: Path
    environment: Mapping[str, str]
    lock: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        exit_code: Terraform's; negative when a signal ended it.
        diagnostics: Errors and warnings in the order they came.
        stdout: Standard output of a command that does not stream; of one that does, the lines that were not JSON.
        stderr: Standard error.
        died: Whether the process was killed or crashed, so that state may not have been saved.
    """

    exit_code: int
    diagnostics: tuple[Diagnostic, ...] = ()
    stdout: str = ""
    stderr: str = ""
    died: bool = False

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are errors."""
        return tuple(each for each in self.diagnostics if each.severity == "error")


@dataclass(frozen=True, slots=True)
class Versions:
    """What a driver runs: ``terraform`` or ``tofu``, its version, and from where."""

    product: str
    version: str
    origin: str


class Driver(Protocol):
    """Runs Terraform commands.

    One command of a workspace runs at a time; different workspaces run in parallel. When ``run`` returns, Terraform has
    ended and its state is where its backend keeps it, unless ``Outcome.died``. When the agent dies in the middle,
    Terraform is interrupted once, may finish for the grace's length and is then killed; the lock is held until it has
    ended.
    """

    async def run(
        self,
        command: Command,
        place: Place,
        *,
        on_event: OnEvent | None = None,
        stop: asyncio.Event | None = None,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
    ) -> Outcome:
        """Run one command to its end.

        Args:
            command: What to run.
            place: Where.
            on_event: Called on the loop with each JSON line as it comes.
            stop: Setting it sends one interrupt to Terraform alone; the process group is killed after the grace.
            grace_seconds: How long an interrupted Terraform may take.

        Raises:
            runner.errors.Fatal: The executable cannot be started.
            runner.errors.Retry: No process could be started now.
        """
        ...

    async def versions(self, environment: Mapping[str, str]) -> Versions:
        """What this driver runs; asked once, in that environment."""
        ...


class OutputReader:
    """Turns a command's output into events, diagnostics and text."""

    def __init__(self, *, streams: bool, on_event: OnEvent | None) -> None:
        self._streams = streams
        self._on_event = on_event
        self._rest = b""
        self._plain: list[bytes] = []
        self._errors: list[bytes] = []
        self._diagnostics: list[Diagnostic] = []

    def stdout(self, data: bytes) -> None:
        """Take a piece of standard output."""
        if not self._streams:
            self._plain.append(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def stderr(self, data: bytes) -> None:
        """Take a piece of standard error."""
        self._errors.append(data)

    def outcome(self, exit_code: int, *, died: bool) -> Outcome:
        """What it all came to."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        return Outcome(
            exit_code=exit_code,
            diagnostics=tuple(self._diagnostics),
            stdout=b"".join(self._plain).decode(errors="replace"),
            stderr=b"".join(self._errors).decode(errors="replace"),
            died=died,
        )

    def _line(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._plain.append(line + b"\n")
            return
        if event.get("type") == "diagnostic":
            self._diagnostics.append(Diagnostic.from_json(event["diagnostic"]))
        if self._on_event is not None:
            self._on_event(event)
