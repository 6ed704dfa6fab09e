import errno
import fcntl
import os
from pathlib import Path

import pytest
from terraform_environment import FernetCipher

from processors.terraform.bundle import Bundle
from processors.terraform.job import as_error
from processors.terraform.workspace import Holder, Workspace, is_alive
from runner.errors import Busy, Fatal, Retry

HOLDER = Holder("agent-1", "run-1", "web", "2026-01-01T00:00:00+00:00", "job")


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "workspaces", "a/b", FernetCipher())
    yield made
    made.release()


def _other(workspace):
    return Workspace(workspace.folder.parent, workspace.key, FernetCipher())


def test_one_at_a_time_and_the_holder_is_named(workspace):
    workspace.acquire(HOLDER)
    with pytest.raises(Busy, match=r"held by agent 'agent-1', orchestration 'run-1', activity 'web', since 2026"):
        _other(workspace).acquire(HOLDER)
    workspace.release()
    other = _other(workspace)
    other.acquire(HOLDER)
    other.release()


def test_a_duplicate_of_the_lock_holds_it(workspace):
    workspace.acquire(HOLDER)
    duplicate = os.dup(workspace.lock)
    workspace.release()
    with pytest.raises(Busy):
        _other(workspace).acquire(HOLDER)
    os.close(duplicate)
    workspace.acquire(HOLDER)


def test_a_terraform_that_outlived_its_supervisor_holds_it(workspace):
    workspace.acquire(HOLDER)
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    os.pwrite(workspace.lock, f"{os.getpid()} {ticks}\n".encode(), 0)
    workspace.release()
    with pytest.raises(Busy):
        _other(workspace).acquire(HOLDER)


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"1 1\n", f"{os.getpid()} 1\n".encode(), b"999999999 5\n"],
    ids=["empty", "nonsense", "init", "recycled", "dead"],  # A process id in a name would differ between workers.
)
def test_a_recycled_or_dead_process_id_holds_nothing(content):
    assert not is_alive(content)


def test_a_removed_workspace_is_made_anew_by_who_waited_for_it(workspace):
    workspace.acquire(HOLDER)
    waiting = os.open(workspace.folder / "lock", os.O_RDWR)
    workspace.remove()
    workspace.release()
    fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(waiting)
    other = _other(workspace)
    other.acquire(HOLDER)
    assert other.created
    assert other.exists()
    other.release()


def test_nothing_of_a_removed_workspace_is_left(workspace):
    workspace.acquire(HOLDER)
    workspace.remove()
    assert list(workspace.folder.parent.iterdir()) == []


def test_what_is_kept_is_encrypted_and_private(workspace):
    workspace.acquire(HOLDER)
    workspace.write_secret("result", {"x": "C4n4ry"})
    path = workspace.folder / "result"
    assert b"C4n4ry" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert workspace.folder.stat().st_mode & 0o077 == 0
    assert workspace.read_secret("result") == {"x": "C4n4ry"}
    assert workspace.read_secret("nothing") is None


def test_a_configuration_is_replaced_as_a_whole_but_for_its_provider_locks(workspace):
    workspace.acquire(HOLDER)
    for names in (["old.tf", ".terraform.lock.hcl"], ["new.tf"]):
        folder = workspace.new_configuration()
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
        workspace.adopt_configuration(folder)
    assert {path.name for path in workspace.configuration.iterdir()} == {"new.tf", ".terraform.lock.hcl"}
    assert not list(workspace.folder.glob(".retired-*"))


def test_what_a_killed_agent_left_half_done_is_put_in_order(workspace):
    workspace.acquire(HOLDER)
    (workspace.folder / ".configuration-abc").mkdir()
    (workspace.folder / ".write-abc").touch()
    (workspace.folder / ".retired-abc").mkdir()
    (workspace.folder / ".retired-abc" / "errored.tfstate").write_text("{}")
    workspace.release()
    workspace.acquire(HOLDER)
    assert {path.name for path in workspace.folder.iterdir()} == {"lock", "workspace.json", "configuration"}
    assert (workspace.configuration / "errored.tfstate").exists()


def test_another_modules_workspace_is_refused(workspace):
    workspace.acquire(HOLDER)
    workspace.claim_module("one", "sha256:1")
    workspace.claim_module("one", "sha256:2")
    with pytest.raises(Fatal, match="belongs to module 'one'"):
        workspace.claim_module("two", "sha256:3")


def test_a_bundle_survives_its_encoding(tmp_path):
    folder = tmp_path / "configuration"
    (folder / "child").mkdir(parents=True)
    (folder / "main.tf").write_bytes(b"\x00\xff")
    (folder / "child" / "x.tf").write_text("é")
    bundle = Bundle.of(folder, {"a": [1, None]}, frozenset({"a"}), ("x.tfvars",), {"a": 1, "b": 2}, frozenset({"b"}))
    again = Bundle.from_json(bundle.to_json())
    assert again == bundle
    again.unpack(tmp_path / "again")
    assert (tmp_path / "again" / "child" / "x.tf").read_text() == "é"


def test_a_full_disk_passes_and_a_forbidden_folder_does_not():
    assert isinstance(as_error(OSError(errno.ENOSPC, "no room", "/x"), "key"), Retry)
    assert isinstance(as_error(OSError(errno.EACCES, "denied", "/x"), "key"), Fatal)
