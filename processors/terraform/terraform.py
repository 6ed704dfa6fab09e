"""Terraform in one held workspace: each step of a run, with its failures as errors."""

import asyncio
import getpass
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from processors.terraform import commands
from processors.terraform.driver import Command, Driver, FileValue, OnEvent, Outcome, Place
from processors.terraform.failures import StateLock, failure, state_lock
from processors.terraform.literals import assignments
from processors.terraform.memory import MemoryFile
from processors.terraform.preparation import Prepared
from processors.terraform.progress import Reporter
from processors.terraform.workspace import Workspace, now
from runner.errors import Fatal, Retry

_MARKER = "tierform.json"
_CHANGES = 2
_OPERATIONS = {"plan": "OperationTypePlan", "apply": "OperationTypeApply"}
# A run's lock is made within moments of its command's start.
_LOCK_WINDOW = timedelta(minutes=5)
_CLOCK_SLACK = timedelta(seconds=2)


class Interrupted(Retry):
    """The run was asked to stop; the detail says what was made and what was not."""

    code = "interrupted"


@dataclass(slots=True)
class Limits:
    """What a definition asks of each command.

    Attributes:
        targets: Addresses; empty for everything.
        parallelism: Operations at a time, or None.
        lock_timeout: How long to wait for a state lock.
        grace_seconds: How long an interrupted Terraform may take.
        transient: More patterns of passing errors.
    """

    targets: tuple[str, ...] = ()
    parallelism: int | None = None
    lock_timeout: str = ""
    grace_seconds: float = 300.0
    transient: tuple[str, ...] = ()


@dataclass(slots=True)
class Terraform:
    """One run's Terraform.

    Attributes:
        driver: What runs it.
        workspace: Held.
        environment: All of Terraform's environment.
        limits: See there.
        stop: Setting it interrupts the command under way; none is started after.
        tell: Takes progress.
    """

    driver: Driver
    workspace: Workspace
    environment: dict[str, str]
    limits: Limits
    stop: asyncio.Event
    tell: Callable[[str], None]
    reporter: Reporter = field(init=False)
    _dead_run: dict[str, Any] | None = field(init=False)

    def __post_init__(self) -> None:
        """Note what a dead predecessor was doing before it is overwritten."""
        self.reporter = Reporter(self.tell)
        self._dead_run = self.workspace.facts().get("run")

    async def init(self, prepared: Prepared, *, anew: bool = False) -> bool:
        """Make the workspace ready for the configuration, unless it is already; whether there was something to do."""
        versions = await self.driver.versions(self.environment)
        stamp = {
            "digest": prepared.digest,
            "backend": prepared.backend,
            "terraform": f"{versions.product} {versions.version}",
        }
        marker = self.workspace.data_folder / _MARKER
        if not anew and marker.exists() and json.loads(marker.read_text(encoding="utf-8")) == stamp:
            return False
        marker.unlink(missing_ok=True)
        command = commands.init(lock_timeout=self.limits.lock_timeout)
        outcome = await self._run(command, "initialising", on_event=self.reporter.initialising)
        if outcome.exit_code != 0:
            raise self._failure(outcome, "initialising")
        marker.parent.mkdir(exist_ok=True)
        marker.write_text(json.dumps(stamp), encoding="utf-8")
        return True

    async def get(self, folder: Path) -> None:
        """Download modules for the configuration in ``folder``."""
        outcome = await self._run(commands.get(), "downloading modules for", folder=folder)
        if outcome.exit_code != 0:
            raise self._failure(outcome, "downloading modules for")

    async def plan(self, prepared: Prepared, out: MemoryFile, *, destroy: bool = False) -> bool:
        """Plan into ``out``; whether there is something to do. A plan needs ``init`` before it, and does it."""
        fresh = await self.init(prepared)
        outcome = await self._plan(prepared, out, destroy=destroy)
        if not fresh and outcome.exit_code not in {0, _CHANGES} and not outcome.died and state_lock(outcome) is None:
            # Somebody may have removed what init had installed.
            await self.init(prepared, anew=True)
            outcome = await self._plan(prepared, out, destroy=destroy)
        if (lock := state_lock(outcome)) is not None and await self._release_dead(lock):
            outcome = await self._plan(prepared, out, destroy=destroy)
        if outcome.exit_code not in {0, _CHANGES}:
            raise self._failure(outcome, "planning")
        return outcome.exit_code == _CHANGES

    async def show(self, plan: MemoryFile) -> dict[str, Any]:
        """The plan as JSON; it holds secrets in the clear."""
        return await self._json(commands.show(plan), "reading the plan of")

    async def apply(self, plan: MemoryFile) -> None:
        """Apply that very plan.

        Raises:
            Interrupted: It was asked to stop.
            Fatal: Terraform refused, or its state could not be stored.
            Retry: The error is passing.
        """
        command = commands.apply(plan, parallelism=self.limits.parallelism, lock_timeout=self.limits.lock_timeout)
        outcome = await self._run(command, "applying", on_event=self.reporter.applying)
        self._keep_errored_state()
        if outcome.exit_code != 0:
            raise self._failure(outcome, "applying", told=self.reporter.ledger.told())

    async def outputs(self) -> dict[str, Any]:
        """``{"name": {"value", "sensitive", "type"}}``; from the apply's own events when they say it all."""
        known = self.reporter.ledger.outputs
        if known is not None and all("value" in each for each in known.values()):
            return known
        return await self._json(commands.output(), "reading the outputs of")

    async def has_resources(self) -> bool:
        """Whether the state still holds something that is managed."""
        outcome = await self._run(commands.state_pull(), "reading the state of")
        if outcome.exit_code != 0:
            raise self._failure(outcome, "reading the state of")
        state = json.loads(outcome.stdout) if outcome.stdout.strip() else {}
        return any(each.get("mode") == "managed" for each in state.get("resources", ()))

    def refuse_errored_state(self) -> None:
        """Refuse to go on over a state that was never stored.

        Raises:
            Fatal: There is one.
        """
        self._keep_errored_state()

    async def _plan(self, prepared: Prepared, out: MemoryFile, *, destroy: bool) -> Outcome:
        self.reporter.ledger.changes.clear()
        with MemoryFile("tierform-variables", assignments(prepared.secret())) as variables:
            var_files: list[str | FileValue] = [*prepared.var_files]
            if prepared.secret():
                var_files.append(FileValue(variables))
            command = commands.plan(
                out,
                destroy=destroy,
                var_files=var_files,
                targets=() if destroy else self.limits.targets,
                parallelism=self.limits.parallelism,
                lock_timeout=self.limits.lock_timeout,
            )
            return await self._run(command, "planning", on_event=self.reporter.planning)

    async def _json(self, command: Command, doing: str) -> dict[str, Any]:
        outcome = await self._run(command, doing)
        if outcome.exit_code != 0:
            raise self._failure(outcome, doing)
        return json.loads(outcome.stdout)  # type: ignore[no-any-return]

    async def _run(
        self, command: Command, doing: str, *, on_event: OnEvent | None = None, folder: Path | None = None
    ) -> Outcome:
        if self.stop.is_set():
            raise Interrupted(f"{self._doing(doing)}: stopped before it began\n{self.reporter.ledger.told()}".rstrip())
        if command.name in _OPERATIONS:
            self.workspace.record(run={"command": command.name, "started": now()})
        place = Place(folder or self.workspace.configuration, self.environment, self.workspace.lock)
        outcome = await self.driver.run(
            command, place, on_event=on_event, stop=self.stop, grace_seconds=self.limits.grace_seconds
        )
        if command.name in _OPERATIONS and not outcome.died:
            self.workspace.record(run=None)
        if command.name == "plan":
            for each in outcome.diagnostics:
                if each.severity == "warning":
                    self.tell(str(each))
        return outcome

    def _failure(self, outcome: Outcome, doing: str, *, told: str = "") -> Exception:
        if self.stop.is_set() and not outcome.died:
            return Interrupted(
                f"{self._doing(doing)}: interrupted, terraform stopped and saved its state\n{told}".rstrip(),
                remedy="the next attempt plans afresh and goes on from there",
            )
        return failure(outcome, self._doing(doing), extra=self.limits.transient, told=told)

    def _doing(self, doing: str) -> str:
        return f"{doing} workspace {self.workspace.key!r}"

    def _keep_errored_state(self) -> None:
        dumped = self.reporter.ledger.dumped_state
        kept = self.workspace.keep_errored_state(json.dumps(dumped) if dumped else "")
        if kept is not None:
            raise Fatal(
                f"running in workspace {self.workspace.key!r}: terraform could not store its last state; "
                f"it is kept, encrypted, in {str(kept)!r}",
                remedy="make the backend reachable, push that state to it ('terraform state push' checks lineage and serial), "
                "then remove the file; until then nothing runs in this workspace",
            )

    async def _release_dead(self, lock: StateLock) -> bool:
        if self._dead_run is None or not _is_of(lock, self._dead_run):
            return False
        self.tell(f"releasing the state lock {lock.id} of this workspace's last run, which was killed")
        outcome = await self._run(commands.force_unlock(lock.id), "unlocking")
        return outcome.exit_code == 0


def _is_of(lock: StateLock, run: dict[str, Any]) -> bool:
    if lock.who != f"{getpass.getuser()}@{socket.gethostname()}" or lock.operation != _OPERATIONS.get(run["command"]):
        return False
    try:
        created = datetime.strptime(lock.created[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    started = datetime.fromisoformat(run["started"])
    return lock.created.endswith("UTC") and started - _CLOCK_SLACK <= created <= started + _LOCK_WINDOW
