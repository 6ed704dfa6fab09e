"""A workspace: one folder with everything that one set of resources needs, one run at a time."""

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from processors.terraform.environment import DATA_FOLDER
from processors.terraform.naming import encode
from processors.terraform.rendering import LOCK_FILE
from runner.activity import Cipher
from runner.errors import Busy, Fatal, NewerData

_FORMAT = 1
_CONFIGURATION = "configuration"
_ERRORED = "errored.tfstate"
_LOCK_BYTES = 100
_START_TICKS_FIELD = 19
_KEPT_ERRORED = "errored.tfstate.encrypted"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who runs in a workspace.

    Attributes:
        agent: The agent's name.
        oid: The orchestration's id.
        activity: The activity's id.
        since: When it took the workspace, ISO 8601 in UTC.
        job: The job's key.
    """

    agent: str
    oid: str
    activity: str
    since: str
    job: str

    def __str__(self) -> str:
        return f"agent {self.agent!r}, orchestration {self.oid!r}, activity {self.activity!r}, since {self.since}"


def now() -> str:
    """The time, as it is written in files."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Workspace:
    """The folder of one workspace.

    The lock is an ``flock`` whose open file description is shared with whoever runs Terraform: it is free only when all
    of them are dead or done, so that a free lock proves that no run is alive on this host.

    Args:
        root: The folder of all workspaces.
        key: The workspace's key, whatever is in it.
        cipher: Encrypts what is kept here beside Terraform's state.
    """

    def __init__(self, root: Path, key: str, cipher: Cipher) -> None:
        self.key = key
        self.name = encode(key)
        self.folder = root / self.name
        self._cipher = cipher
        self.lock = -1
        self.created = False

    @property
    def configuration(self) -> Path:
        """Where Terraform's files are."""
        return self.folder / _CONFIGURATION

    @property
    def data_folder(self) -> Path:
        """Terraform's own folder of modules, providers and the backend's configuration."""
        return self.folder / DATA_FOLDER

    def exists(self) -> bool:
        """Whether it has ever been used and not been disposed of."""
        return (self.folder / "workspace.json").exists()

    def acquire(self, holder: Holder) -> None:
        """Take the workspace for one run, making its folder if need be.

        Raises:
            Busy: Another run is alive in it; the detail names its holder.
            NewerData: A newer version wrote it.
        """
        while True:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # Disposed of between the two calls.
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise self._busy() from None
            if self._is_current(descriptor):
                break
            os.close(descriptor)
        if is_alive(os.pread(descriptor, _LOCK_BYTES, 0)):
            # Terraform outlived its supervisor: interrupted by the kernel, it is about to end.
            os.close(descriptor)
            raise self._busy()
        self.lock = descriptor
        try:
            self._settle(holder)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of it; a worker that still runs Terraform keeps it locked."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def remove(self) -> None:
        """Remove everything, under the lock; whoever waits for the lock finds that it is gone."""
        grave = self.folder.with_name(f".removed-{uuid.uuid4().hex}")
        self.folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def facts(self) -> dict[str, Any]:
        """What ``workspace.json`` holds; empty for a new one."""
        try:
            return json.loads((self.folder / "workspace.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except FileNotFoundError:
            return {}

    def record(self, **changes: Any) -> None:
        """Lay ``changes`` over the facts."""
        self._write_plain("workspace.json", {**self.facts(), **changes})

    def was_applied_by_another(self, oid: str) -> bool:
        """Whether another orchestration was the first to apply here; what nobody noted counts as another's."""
        facts = self.facts()
        return "module" in facts and facts.get("createdBy") != oid

    def claim_module(self, module: str, digest: str) -> None:
        """Note which module this workspace is of.

        Raises:
            Fatal: It is another one's.
        """
        owner = self.facts().get("module")
        if owner not in (None, module):
            raise Fatal(
                f"deploying module {module!r} to workspace {self.key!r}: the workspace belongs to module {owner!r}",
                remedy="dispose of it first, or give this activity another config.workspace",
            )
        self.record(module=module, digest=digest)

    def new_configuration(self) -> Path:
        """A name for a folder to render into; ``adopt_configuration`` makes it the current one."""
        return self.folder / f".{_CONFIGURATION}-{uuid.uuid4().hex}"

    def adopt_configuration(self, folder: Path) -> None:
        """Replace the configuration as a whole; the provider lock file of the last one stays unless there is a new one."""
        kept = self.configuration / LOCK_FILE
        if kept.exists() and not (folder / LOCK_FILE).exists():
            shutil.copyfile(kept, folder / LOCK_FILE)
        retired = folder.with_name(f".retired-{uuid.uuid4().hex}")
        if self.configuration.exists():
            self.configuration.rename(retired)
        folder.rename(self.configuration)
        shutil.rmtree(retired, ignore_errors=True)

    def write_secret(self, name: str, value: Any) -> None:
        """Keep a JSON value encrypted; it is on disk when this returns."""
        self._write(name, self._cipher.encrypt(json.dumps(value).encode()))

    def read_secret(self, name: str) -> Any:
        """What ``write_secret`` kept, or None."""
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return json.loads(self._cipher.decrypt(data))

    def keep_errored_state(self, text: str = "") -> Path | None:
        """Encrypt the state that Terraform could not store, if there is one; the path it is kept under."""
        source = self.configuration / _ERRORED
        kept = self.folder / _KEPT_ERRORED
        if source.exists():
            text = source.read_text(encoding="utf-8")
        if text:
            self._write(_KEPT_ERRORED, self._cipher.encrypt(text.encode()))
            source.unlink(missing_ok=True)
        return kept if kept.exists() else None

    def errored_state(self) -> bytes | None:
        """The kept state in the clear, for its recovery; None when there is none."""
        kept = self.folder / _KEPT_ERRORED
        return self._cipher.decrypt(kept.read_bytes()) if kept.exists() else None

    def discard_errored_state(self) -> None:
        """Forget it: it has been pushed, or is not wanted."""
        (self.folder / _KEPT_ERRORED).unlink(missing_ok=True)

    def _settle(self, holder: Holder) -> None:
        facts = self.facts()
        if facts.get("v", _FORMAT) > _FORMAT:
            raise NewerData(
                f"opening workspace {self.key!r}: its folder was written by a newer version", remedy="update Tierform"
            )
        self.created = not facts
        self._recover_configuration()
        base = {"v": _FORMAT, "key": self.key, "created": now()}
        self._write_plain("workspace.json", {**base, **facts, "holder": asdict(holder)})

    def _recover_configuration(self) -> None:
        # What a killed agent left half done: the retired configuration may hold a state that was never stored.
        for retired in self.folder.glob(".retired-*"):
            if not self.configuration.exists():
                retired.rename(self.configuration)
            else:
                shutil.rmtree(retired, ignore_errors=True)
        for pattern in (f".{_CONFIGURATION}-*", ".write-*"):
            for left in self.folder.glob(pattern):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()

    def _busy(self) -> Busy:
        holder: Mapping[str, Any] = {}
        with contextlib.suppress(ValueError):
            holder = self.facts().get("holder") or {}
        who = str(Holder(**holder)) if holder else "a run that is just starting"
        return Busy(f"waiting for workspace {self.key!r}: it is held by {who}", remedy="it goes on when that run ends")

    def _is_current(self, descriptor: int) -> bool:
        try:
            found = (self.folder / "lock").stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(descriptor))

    def _write_plain(self, name: str, value: Any) -> None:
        self._write(name, json.dumps(value, indent=1).encode(), durable=False)

    def _write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        temporary = self.folder / f".write-{uuid.uuid4().hex}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        temporary.rename(self.folder / name)


def is_alive(content: bytes) -> bool:
    """Whether the process that a lock file names, ``PID START_TICKS``, is the one that has that id now."""
    pid, _, ticks = content.decode("ascii", "replace").strip().partition(" ")
    try:
        stat = Path(f"/proc/{int(pid)}/stat").read_text(encoding="ascii", errors="replace")
    except (OSError, ValueError):
        return False
    state, *fields = stat.rpartition(")")[2].split()
    return state != "Z" and fields[_START_TICKS_FIELD - 1] == ticks
