"""The Terraform commands this processor uses, as data; one pure function each."""

from collections.abc import Sequence

from processors.terraform.driver import Command, FileValue, Value
from processors.terraform.memory import MemoryFile

_PARALLELISM = "parallelism"


def version() -> Command:
    """``version``: what this is."""
    return Command("version", {"json": True}, streams=False)


def init(*, lock_timeout: str = "") -> Command:
    """``init``: modules, providers, backend. Another backend than last time is taken as it is: nothing is migrated."""
    return Command("init", {"json": True, "input": "false", "reconfigure": True, **_lock(lock_timeout)})


def get() -> Command:
    """``get``: modules alone."""
    return Command("get", {"no-color": True}, streams=False)


def plan(
    out: MemoryFile,
    *,
    destroy: bool = False,
    var_files: Sequence[str | FileValue] = (),
    targets: Sequence[str] = (),
    parallelism: int | None = None,
    lock_timeout: str = "",
) -> Command:
    """``plan`` into ``out``; exit code 2 when there is something to do."""
    options: dict[str, Value] = {"json": True, "input": "false", "detailed-exitcode": True, "out": FileValue(out)}
    if destroy:
        options["destroy"] = True
    if parallelism is not None:
        options[_PARALLELISM] = str(parallelism)
    options |= _lock(lock_timeout)
    return Command("plan", {**options, "var-file": tuple(var_files), "target": tuple(targets)})


def show(plan_file: MemoryFile) -> Command:
    """``show``: the plan as JSON."""
    return Command("show", {"json": True}, (FileValue(plan_file),), streams=False)


def apply(plan_file: MemoryFile, *, parallelism: int | None = None, lock_timeout: str = "") -> Command:
    """``apply`` of that very plan."""
    options: dict[str, Value] = {"json": True, "input": "false"}
    if parallelism is not None:
        options[_PARALLELISM] = str(parallelism)
    return Command("apply", options | _lock(lock_timeout), (FileValue(plan_file),))


def output() -> Command:
    """``output``: every output with its value, the sensitive ones too."""
    return Command("output", {"json": True}, streams=False)


def state_pull() -> Command:
    """``state pull``: the whole state."""
    return Command("state pull", streams=False)


def state_push(state: MemoryFile) -> Command:
    """``state push``: checks lineage and serial."""
    return Command("state push", {}, (FileValue(state),), streams=False)


def force_unlock(lock_id: str) -> Command:
    """``force-unlock`` of exactly that lock."""
    return Command("force-unlock", {"force": True}, (lock_id,), streams=False)


def _lock(timeout: str) -> dict[str, Value]:
    return {"lock-timeout": timeout} if timeout else {}
