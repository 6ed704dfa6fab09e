import base64
import multiprocessing
import os
import resource
import stat
from pathlib import Path

import pytest

from runner.errors import InvalidUsage, Refused
from runner.secrets.keys import Keyring, default_key_file, open_key_file, rotate


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "config" / "tierform" / "key"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def _open_in_process(place: Path, data_dir: Path, barrier, results) -> None:
    barrier.wait(20)
    results.put([key.id for key in open_key_file(place, data_dir=data_dir).keys])


def _rotate_in_process(place: Path, data_dir: Path, barrier, results) -> None:
    barrier.wait(20)
    results.put(rotate(place, data_dir=data_dir).primary.id)


def in_processes(target, count: int, place: Path, data_dir: Path) -> list:
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(count), spawn.Queue()
    processes = [spawn.Process(target=target, args=(place, data_dir, barrier, results)) for _ in range(count)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    return answers


def write_key_file(place: Path, text: str, mode: int = 0o600) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)


def test_default_is_in_the_home_folder_unless_xdg_says_otherwise():
    assert default_key_file(Path("/home/jo")) == Path("/home/jo/.config/tierform/key")
    assert default_key_file(Path("/home/jo"), "/etc/jo") == Path("/etc/jo/tierform/key")
    assert default_key_file(Path("/home/jo"), "relative") == Path("/home/jo/.config/tierform/key")


def test_first_use_makes_a_file_only_the_owner_can_read(place, data_dir):
    before = os.umask(0)
    try:
        open_key_file(place, data_dir=data_dir)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert [entry.name for entry in place.parent.iterdir()] == ["key"]


def test_a_file_made_under_a_narrow_umask_is_readable_by_its_owner(place, data_dir):
    place.parent.mkdir(parents=True)
    before = os.umask(0o777)
    try:
        open_key_file(place, data_dir=data_dir)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_the_second_opening_finds_the_same_key(place, data_dir):
    assert open_key_file(place, data_dir=data_dir) == open_key_file(place, data_dir=data_dir)


def test_many_processes_at_first_use_agree_on_one_key(place, data_dir):
    answers = in_processes(_open_in_process, 4, place, data_dir)
    assert len({tuple(answer) for answer in answers}) == 1
    assert [entry.name for entry in place.parent.iterdir()] == ["key"]


def test_rotations_at_the_same_time_lose_no_key(place, data_dir):
    first = open_key_file(place, data_dir=data_dir).primary.id
    primaries = in_processes(_rotate_in_process, 3, place, data_dir)
    keys = [key.id for key in open_key_file(place, data_dir=data_dir).keys]
    assert len(keys) == 4
    assert keys[-1] == first
    assert set(keys) == {first, *primaries}


def test_rotation_puts_a_new_key_first_and_keeps_the_old(place, data_dir):
    old = open_key_file(place, data_dir=data_dir)
    new = rotate(place, data_dir=data_dir)
    assert new.keys[1:] == old.keys
    assert new.primary != old.primary
    assert open_key_file(place, data_dir=data_dir) == new
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_rotation_through_a_link_replaces_what_it_points_to(place, data_dir, tmp_path):
    open_key_file(place, data_dir=data_dir)
    link = tmp_path / "link"
    link.symlink_to(place)
    new = rotate(link, data_dir=data_dir)
    assert link.is_symlink()
    assert open_key_file(place, data_dir=data_dir) == new


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o620, 0o601])
def test_a_file_that_others_can_reach_is_refused(place, data_dir, mode):
    open_key_file(place, data_dir=data_dir)
    place.chmod(mode)
    with pytest.raises(Refused, match=rf"mode {mode:04o}") as caught:
        open_key_file(place, data_dir=data_dir)
    assert "chmod 600" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(place, data_dir):
    open_key_file(place, data_dir=data_dir)
    os.chown(place, 12345, -1)
    with pytest.raises(Refused, match="belongs to another user"):
        open_key_file(place, data_dir=data_dir)


def test_a_file_inside_the_data_folder_is_refused_and_not_made(data_dir):
    with pytest.raises(Refused, match="inside the data folder") as caught:
        open_key_file(data_dir / "keys" / "key", data_dir=data_dir)
    assert "TIERFORM_KEY_FILE" in caught.value.remedy
    assert list(data_dir.iterdir()) == []


def test_a_link_into_the_data_folder_is_refused(data_dir, tmp_path):
    (tmp_path / "link").symlink_to(data_dir / "key")
    with pytest.raises(Refused, match="inside the data folder"):
        open_key_file(tmp_path / "link", data_dir=data_dir)


def test_a_data_folder_named_through_a_link_is_recognised(data_dir, tmp_path):
    (tmp_path / "alias").symlink_to(data_dir)
    with pytest.raises(Refused, match="inside the data folder"):
        open_key_file(data_dir / "key", data_dir=tmp_path / "alias")


def test_a_file_made_with_openssl_is_a_key_file(place, data_dir):
    write_key_file(place, "\n# mine\n" + base64.b64encode(bytes(range(32))).decode() + "\r\n")
    ring = open_key_file(place, data_dir=data_dir)
    assert [key.id for key in ring.keys] == ["32aed4c7a8ad6311"]


def test_a_key_listed_twice_counts_once(place, data_dir):
    line = base64.b64encode(bytes(32)).decode()
    write_key_file(place, f"{line}\n{line}\n")
    assert len(open_key_file(place, data_dir=data_dir).keys) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no key"),
        ("# only words\n", "holds no key"),
        ("# words\nhunter2hunter2\n", "key:2: a key is 32 bytes in base64"),
        (base64.b64encode(bytes(31)).decode(), "key:1: a key is 32 bytes"),
        ("ünïcödé", "key:1: a key is 32 bytes"),
        ("A" * 70_000, "file too large"),
    ],
)
def test_a_malformed_file_is_explained_without_showing_it(place, data_dir, text, message):
    write_key_file(place, text)
    with pytest.raises(InvalidUsage, match=message) as caught:
        open_key_file(place, data_dir=data_dir)
    assert "hunter2" not in str(caught.value)


def test_a_folder_or_a_pipe_is_no_key_file(place, data_dir):
    place.mkdir(parents=True)
    with pytest.raises(Refused, match="not a regular file"):
        open_key_file(place, data_dir=data_dir)
    place.rmdir()
    os.mkfifo(place, 0o600)
    with pytest.raises(Refused, match="not a regular file"):
        open_key_file(place, data_dir=data_dir)


def test_a_place_where_no_file_can_be_is_explained(data_dir, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidUsage, match=r"opening the key file .*/file/key': file exists \('.*/file'\)"):
        open_key_file(tmp_path / "file" / "key", data_dir=data_dir)


def test_a_disk_that_takes_no_more_leaves_no_half_file(place, data_dir):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(InvalidUsage, match=r"opening the key file .*: file too large"):
            open_key_file(place, data_dir=data_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(place.parent.iterdir()) == []


def test_links_in_a_circle_are_explained(data_dir, tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(InvalidUsage, match="symbolic links"):
        open_key_file(tmp_path / "circle", data_dir=data_dir)


def test_a_dangling_link_is_filled(data_dir, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "new" / "key")
    open_key_file(tmp_path / "link", data_dir=data_dir)
    assert (tmp_path / "new" / "key").is_file()


def test_keys_are_not_shown_by_repr(place, data_dir):
    ring: Keyring = open_key_file(place, data_dir=data_dir)
    assert repr(ring) == f"Keyring(keys=(Key(id='{ring.primary.id}'),))"


def test_fingerprints_depend_on_the_key_and_the_data(place, data_dir):
    old = open_key_file(place, data_dir=data_dir)
    assert old.fingerprint(b"a") == old.fingerprint(b"a")
    assert old.fingerprint(b"a") != old.fingerprint(b"b")
    assert old.fingerprint(b"a") != rotate(place, data_dir=data_dir).fingerprint(b"a")
