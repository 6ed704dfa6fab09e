"""A full disk, a newer or unusable data folder, a bad key, a server that does not answer: reason, remedy, exit code."""

import json
import socket
from functools import partial
from pathlib import Path

import pytest
from mounts import remount, small_disk
from sandbox import Sandbox, together, wait_until


@pytest.fixture
def place(tmp_path):
    sandbox = Sandbox(tmp_path).notes()
    yield sandbox
    try:
        sandbox.assert_nothing_left()
        sandbox.assert_no_traceback_in_logs()
    finally:
        sandbox.end()


def _refused(place: Sandbox, code: int, *words: str, **environment: str) -> None:
    for command in (("run", "note.deploy", *place.inputs("x")), ("list",)):
        ended = place.run(*command, **environment)
        assert (ended.code, ended.stdout) == (code, ""), ended
        for word in (*words, "→"):
            assert word in ended.stderr
    assert place.lines() == []


def _works(place: Sandbox) -> None:
    ended = place.run("run", "note.deploy", *place.inputs("afterwards"))
    assert ended.code == 0, ended


def _fill(folder) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_data_folder_of_a_newer_version_is_refused_and_left_alone(place):
    _works(place)
    version = place.data / "version.json"
    version.write_text(json.dumps({"format": 99, "product": "9.1"}))
    place.ledger.unlink()
    _refused(place, 2, "written by Tierform 9.1", "use Tierform 9.1 or newer")
    assert json.loads(version.read_text())["format"] == 99
    version.write_text("{")
    _refused(place, 2, "version.json", "damaged")
    version.unlink()
    _works(place)


def test_a_key_file_that_others_may_read_is_refused(place):
    _works(place)
    place.ledger.unlink()
    place.key.chmod(0o644)
    _refused(place, 2, str(place.key), "chmod 600")
    place.key.chmod(0o600)
    _works(place)


def test_a_damaged_key_file_is_refused_and_kept(place):
    for content in ("", "not base64!\n", "c2hvcnQ=\n"):
        place.key.write_text(content)
        place.key.chmod(0o600)
        ended = place.run("run", "note.deploy", *place.inputs("x"))
        assert (ended.code, ended.stdout) == (2, ""), ended
        assert str(place.key) in ended.stderr
        assert "→" in ended.stderr
        assert place.key.read_text() == content
    assert place.lines() == []


def test_another_key_is_refused_before_it_does_harm(place):
    _works(place)
    other = place.folder / "other-key"
    ended = place.run("run", "note.deploy", *place.inputs("afterwards"), TIERFORM_KEY_FILE=str(other))
    assert ended.code in (1, 2), ended
    assert "key" in ended.stderr
    _works(place)


def test_damaged_files_of_the_server_are_made_again(place):
    folder = place.data / "nats"
    folder.mkdir(parents=True)
    stranger = {
        "v": 1,
        "url": "nats://127.0.0.1:1",
        "port": 1,
        "token": "",
        "instance": "",
        "supervisor": 1,
        "server": 1,
    }
    for content in ("", "{", "[]", '{"url": 1}', json.dumps({**stranger, "startedAt": 0})):
        for name in ("endpoint.json", "identity.json"):
            (folder / name).write_text(content)
        assert place.run("list").code == 0
        place.assert_nothing_left()
    _works(place)


def test_a_data_folder_that_cannot_be_written_is_refused(place):
    place.data.write_text("in the way")
    _refused(place, 2, str(place.data))
    place.data.unlink()
    with small_disk(place.folder / "disk", "size=64m") as disk:
        remount(disk, "ro")
        place.environment["TIERFORM_DATA_DIR"] = str(disk / "data")
        _refused(place, 2, str(disk / "data"))


def test_a_server_that_does_not_answer_is_named(place):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"nats://127.0.0.1:{server.getsockname()[1]}"
    ended = place.run("run", "note.deploy", "--nats", url, *place.inputs("x"))
    assert (ended.code, ended.stdout) == (1, ""), ended
    assert url in ended.stderr
    assert "→" in ended.stderr
    _works(place)


def test_an_address_that_is_none_is_refused(place):
    ended = place.run("list", "--nats", "not an address")
    assert (ended.code, ended.stdout) == (2, ""), ended
    assert "not an address" in ended.stderr


def test_a_disk_too_small_to_begin_with_is_told_and_room_helps(tmp_path):
    together(*(partial(_begin_on_too_small_a_disk, tmp_path / size, size) for size in ("64k", "1m", "16m")))


def _begin_on_too_small_a_disk(folder: Path, size: str) -> None:
    folder.mkdir()
    with small_disk(folder / "disk", f"size={size}") as disk:
        place = Sandbox(folder, data=disk / "data").notes()
        _refused(place, 1, "space")
        place.assert_nothing_left()
        remount(disk, "size=64m")
        _works(place)
        place.assert_nothing_left()


def test_a_disk_that_fills_up_is_told_and_room_helps(tmp_path):
    moments = ("began a x", "made a x", "began c x")
    together(*(partial(_fill_at, tmp_path / str(number), moment) for number, moment in enumerate(moments)))


def _fill_at(folder: Path, moment: str) -> None:
    folder.mkdir()
    with small_disk(folder / "disk", "size=64m") as disk:
        place = Sandbox(folder, data=disk / "data").notes()
        try:
            running = place.start("run", "notes.deploy", "--timeout", "6s", *place.inputs("x", 0.5), "-i", "last=0.5")
            wait_until(lambda: moment in place.lines())
            _fill(disk)
            ended = running.ended(30)
            assert ended.code in (0, 1, 4), ended
            assert ended.code == 0 or "space" in ended.stderr, ended
            (disk / "filler").unlink()
            again = place.run("run", "notes.deploy", *place.inputs("x"))
            assert again.code == 0, again
            place.assert_nothing_left()
            place.assert_no_traceback_in_logs()
        finally:
            place.end()
