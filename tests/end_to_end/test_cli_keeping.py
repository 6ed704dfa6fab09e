"""The archive, retention, backup and restore, as an operator uses them."""

import json
import shutil
import tarfile

import pytest
from mounts import small_disk
from sandbox import Sandbox, wait_until

AT_ONCE = {"TIERFORM_ARCHIVE_SECONDS": "0"}


@pytest.fixture
def place(tmp_path):
    sandbox = Sandbox(tmp_path).notes()
    yield sandbox
    sandbox.run("stop")
    sandbox.assert_nothing_left()
    sandbox.assert_no_traceback_in_logs()


def archive(place):
    """Have an engine move everything that has ended."""
    ended = place.run("run", "note.deploy", "--id", "served", "--detach", *place.inputs("served"), **AT_ONCE)
    assert ended.code == 0, ended
    wait_until(lambda: "0 orchestrations in the log" in place.run("doctor", "-o", "json").stdout)


def listed(place):
    return {line["id"]: line["state"] for line in place.run("list", "-o", "json").json}


def test_what_is_archived_is_listed_shown_verified_and_retried_as_before(place):
    assert place.run("run", "note.deploy", "--id", "one", *place.inputs("one")).code == 0
    before, history = place.show("one"), place.run("history", "one", "-o", "json").json
    logs = place.run("logs", "one").stdout
    archive(place)
    assert listed(place) == {"one": 2, "served": 2}
    assert place.show("one") == before
    assert place.run("history", "one", "-o", "json").json == history
    assert place.run("logs", "one").stdout == logs
    verified = place.run("verify")
    assert (verified.code, verified.stderr) == (0, "2 of 2 histories verify\n"), verified
    made = place.lines()
    again = place.run("run", "note.deploy", "--id", "one", "-o", "json", *place.inputs("one"))
    assert (again.code, again.json["state"]) == (0, 2), again
    assert place.lines() == made
    retried = place.run("retry", "one", "--from", "a", "-o", "json", **AT_ONCE)
    assert (retried.code, retried.json["state"]) == (0, 2), retried
    assert place.run("verify", "one").code == 0
    assert len(place.run("history", "one", "-o", "json").json) > len(history)


def test_purge_removes_what_has_ended(place):
    for name in ("one", "two"):
        assert place.run("run", "note.deploy", "--id", name, *place.inputs(name)).code == 0
    assert place.run("purge").code == 2
    assert "30d" in place.run("purge", "--older-than", "soon").stderr
    assert place.run("purge", "--older-than", "1d").stderr == "removed: 0\n"
    assert place.run("purge", "--keep", "1").stderr == "removed: 1\n"
    assert listed(place) == {"two": 2}
    assert place.run("show", "one").code == 2
    assert place.run("verify").code == 0


def test_a_backup_brings_everything_back_into_an_empty_data_folder(place):
    for name in ("one", "two"):
        assert place.run("run", "note.deploy", "--id", name, *place.inputs(name)).code == 0
    archive(place)
    place.run("stop")
    assert place.run("run", "note.deploy", "--id", "hot", *place.inputs("hot")).code == 0
    before, shown = listed(place), place.show("one")
    file = place.folder / "backup.tar"
    made = place.run("backup", file)
    assert made.code == 0, made
    assert str(place.key) in made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert place.key.read_text().splitlines()[-1] not in file.read_bytes().decode("latin-1")

    refused = place.run("restore", file)
    assert (refused.code, "--force" in refused.stderr) == (2, True), refused
    wait_until(lambda: not place.processes())
    shutil.rmtree(place.data)
    restored = place.run("restore", file)
    assert restored.code == 0, restored
    assert listed(place) == before == {"one": 2, "two": 2, "hot": 2, "served": 2}
    assert place.show("one") == shown
    assert place.run("verify").stderr == "4 of 4 histories verify\n"
    assert place.run("logs", "hot").stdout
    assert place.run("retry", "hot", "--from", "a").code == 0
    place.define(*_dispose(), file="dispose.json")
    disposed = place.run("run", "note.dispose", "-i", "name=one")
    assert disposed.code == 0, disposed
    assert place.lines()[-1] == "gone a one"

    forced = place.run("restore", file, "--force")
    assert forced.code == 0, forced
    assert listed(place) == before
    assert list(place.data.glob("workspaces.replaced-*"))


def test_what_was_under_way_goes_on_after_a_restore(place):
    running = place.start("run", "notes.deploy", "--id", "way", *place.inputs("way", 0), "-i", "last=60")
    wait_until(lambda: "began c way" in place.lines())
    file = place.folder / "backup.tar"
    assert place.run("backup", file).code == 0
    refused = place.run("restore", file, "--force")
    assert (refused.code, "an engine works" in refused.stderr) == (2, True), refused
    place.end()
    running.process.wait()
    wait_until(lambda: not place.processes())
    shutil.rmtree(place.data)
    assert place.run("restore", file).code == 0
    assert place.statuses("way") == {"a": "completed", "b": "completed", "c": "queued"}
    cancelled = place.run("cancel", "way")
    assert cancelled.code == 0, cancelled
    assert sorted(line for line in place.lines() if line.startswith("made")) == ["made a way", "made b way"]


@pytest.fixture(scope="module")
def backed(tmp_path_factory):
    """An installation with a backup beside it."""
    sandbox = Sandbox(tmp_path_factory.mktemp("backed")).notes()
    assert sandbox.run("run", "note.deploy", "--id", "one", *sandbox.inputs("one")).code == 0
    assert sandbox.run("backup", sandbox.folder / "backup.tar").code == 0
    yield sandbox
    sandbox.assert_nothing_left()


@pytest.mark.parametrize("damage", ["cut", "altered", "newer", "text"])
def test_a_damaged_or_newer_backup_is_refused_before_anything_is_touched(backed, damage):
    data, file = (backed.folder / "backup.tar").read_bytes(), backed.folder / "damaged.tar"
    file.write_bytes(data)
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "altered":
        position = data.index(b'"subject"')
        file.write_bytes(data[:position] + b'"subjecT"' + data[position + 9 :])
    elif damage == "newer":
        file.write_bytes(data.replace(b'"format": 1,', b'"format": 9,'))
    else:
        file.write_text("not a backup")
    refused = backed.run("restore", file, "--force", "--data-dir", backed.folder / "never-made")
    assert refused.code == 2, refused
    assert ("newer" if damage == "newer" else "damaged") in refused.stderr
    assert not (backed.folder / "never-made").exists()


def test_a_backup_on_a_full_disk_leaves_no_half_file(backed):
    with small_disk(backed.folder / "small", "size=24k") as disk:
        (disk / "backup.tar").write_text("the one before")
        refused = backed.run("backup", disk / "backup.tar")
        assert refused.code == 1, refused
        assert "no space left" in refused.stderr
        assert "make room" in refused.stderr
        assert [path.name for path in disk.iterdir()] == ["backup.tar"]
        assert (disk / "backup.tar").read_text() == "the one before"


def test_a_backup_says_what_is_in_it(backed):
    with tarfile.open(backed.folder / "backup.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        assert set(tar.getnames()) == {*manifest["members"], "manifest.json"}
    assert manifest["counts"]["logs/run.jsonl"] > 0
    assert any(name.startswith("files/workspaces/") and name.endswith(".tfstate") for name in manifest["members"])


def _dispose():
    activity = {"id": "a", "type": "note.a", "discriminator": "dispose", "inputs": ["name"]}
    return [{"type": "note.dispose", "active": True, "schema": {"type": "object"}, "activities": [activity]}]
