import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InvalidUsage, Refused, UnknownThing
from runner.project import modules
from runner.project.modules import digest, module_files, pack, unpack


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    return folder


def write(folder: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def names(folder: Path) -> list[str]:
    return [file.name for file in module_files(folder)]


def archive_of(*entries: tarfile.TarInfo, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


# No dots: a name such as "x.tfstate.x" is left out on purpose.
file_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0."), min_size=1, max_size=20)


@settings(deadline=None)
@given(st.dictionaries(file_names.map(lambda name: f"x{name}x"), st.binary(max_size=600), max_size=6))
def test_what_was_packed_unpacks_to_the_same_files(tmp_path_factory, files):
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target") / "module"
    write(source, files)
    data = pack(source)
    unpack(data, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == files
    assert pack(target) == data


def test_times_owners_modes_and_order_make_no_difference(module, tmp_path):
    write(module, {"main.tf": "a", "sub/b.tf": "b"})
    copy = tmp_path / "copy"
    copy.mkdir()
    write(copy, {"sub/b.tf": "b", "main.tf": "a"})
    os.utime(copy / "main.tf", (1, 1))
    (copy / "main.tf").chmod(0o666)
    (copy / "sub").chmod(0o777)
    assert pack(copy) == pack(module)


def test_content_names_and_the_executable_bit_make_one(module):
    write(module, {"a.sh": "a"})
    before = {pack(module)}
    (module / "a.sh").chmod(0o755)
    before.add(pack(module))
    write(module, {"a.sh": "b"})
    before.add(pack(module))
    (module / "a.sh").rename(module / "b.sh")
    before.add(pack(module))
    assert len(before) == 4


def test_the_digest_of_a_module_is_the_same_on_every_host_and_python(module):
    write(module, {"main.tf": 'variable "a" {}\n', "templates/größe.json.j2": "{}", "run.sh": "#!/bin/sh\n"})
    (module / "run.sh").chmod(0o700)
    assert digest(pack(module)) == "sha256:9733f50db18ceb82d853b97aa6c82cd9967f79caf3c5fcaac6eeb919e1f762ca"


def test_state_caches_and_editors_files_are_left_out(module):
    kept = [
        ".terraform.lock.hcl",
        "a.auto.tfvars",
        "main.tf",
        "main.tf.j2",
        "modules/inner/main.tf",
        "terraform.tfvars",
    ]
    left_out = [".terraform/x", "terraform.tfstate", "terraform.tfstate.backup", "modules/inner/errored.tfstate"]
    left_out += [".git/config", "main.tf~", ".main.tf.swp", ".#main.tf", ".DS_Store", "out.tfplan", ".idea/x"]
    left_out += [".terraform.tfstate.lock.info", "crash.log", ".terraformrc", "modules/inner/.terraform/y"]
    write(module, dict.fromkeys([*kept, *left_out], "x"))
    assert names(module) == kept


def test_links_inside_of_the_folder_are_followed(module):
    write(module, {"main.tf": "a", "shared/b.tf": "b"})
    (module / "link.tf").symlink_to("main.tf")
    (module / "dir").symlink_to(module / "shared")
    assert names(module) == ["dir/b.tf", "link.tf", "main.tf", "shared/b.tf"]


def test_a_module_behind_a_link_is_packed(module, tmp_path):
    write(module, {"main.tf": "a"})
    (tmp_path / "link").symlink_to(module)
    assert pack(tmp_path / "link") == pack(module)


@pytest.mark.parametrize("target", ["../outside.tf", "/etc/passwd", "sub/../../outside.tf", ".."])
def test_a_link_that_leads_out_is_refused(module, target):
    write(module, {"sub/x.tf": "", "../outside.tf": "secret"})
    (module / "link").symlink_to(target)
    with pytest.raises(Refused, match="the link 'link' leads out of it"):
        pack(module)


def test_links_that_lead_nowhere_or_in_a_circle_are_refused(module):
    (module / "link.tf").symlink_to("absent.tf")
    with pytest.raises(Refused, match=r"'link.tf' leads nowhere"):
        pack(module)
    (module / "link.tf").unlink()
    (module / "sub").mkdir()
    (module / "sub" / "up").symlink_to(module)
    with pytest.raises(Refused, match="'sub/up' leads in a circle"):
        pack(module)


def test_what_is_neither_file_nor_folder_is_refused(module):
    os.mkfifo(module / "pipe")
    with pytest.raises(Refused, match="'pipe' is neither"):
        pack(module)


def test_a_large_module_is_refused_with_its_largest_files(module):
    for name, size in (("a.zip", 20 << 20), ("b.zip", 13 << 20), ("c.tf", 10)):
        with (module / name).open("wb") as file:
            file.truncate(size)
    with pytest.raises(Refused, match=r"34603018 bytes, 33554432 are allowed; .* 'a.zip' 20971520 bytes, 'b.zip'"):
        pack(module)


def test_a_module_of_too_many_files_is_refused(module, monkeypatch):
    monkeypatch.setattr(modules, "MOST_FILES", 3)
    write(module, dict.fromkeys("abc", ""))
    assert names(module) == ["a", "b", "c"]
    write(module, {"d": ""})
    with pytest.raises(Refused, match="more than 3 files"):
        pack(module)


def test_a_missing_folder_is_unknown(module):
    with pytest.raises(UnknownThing):
        pack(module / "absent")


def test_unpacked_files_are_read_only_and_keep_the_executable_bit(module, tmp_path):
    write(module, {"run.sh": "", "sub/main.tf": ""})
    (module / "run.sh").chmod(0o744)
    unpack(pack(module), tmp_path / "out")
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*")}
    assert modes == {"out/run.sh": 0o555, "out/sub": 0o555, "out/sub/main.tf": 0o444}


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", ".", "sub/.."])
def test_an_archive_with_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(Refused, match="not a file inside"):
        unpack(archive_of(tarfile.TarInfo(name)), tmp_path / "in" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_an_archive_with_anything_but_files_is_refused(tmp_path, kind):
    entry = tarfile.TarInfo("link")
    entry.type = kind
    entry.linkname = "/etc/passwd"
    with pytest.raises(Refused, match="not a file inside"):
        unpack(archive_of(entry), tmp_path / "out")


def test_an_archive_with_a_name_twice_is_refused(tmp_path):
    with pytest.raises(Refused, match="twice"):
        unpack(archive_of(tarfile.TarInfo("a"), tarfile.TarInfo("a")), tmp_path / "out")


@pytest.mark.parametrize("data", [b"no archive", b"\x1f\x8b" + b"\0" * 600, b"x" * 2000])
def test_what_is_no_archive_is_refused(tmp_path, data):
    with pytest.raises(Refused, match="damaged"):
        unpack(data, tmp_path / "out")


def test_an_archive_that_is_cut_short_is_refused(module, tmp_path):
    write(module, {"main.tf": b"x" * 5000})
    with pytest.raises(Refused, match="damaged"):
        unpack(pack(module)[:3000], tmp_path / "out")


def test_a_folder_that_exists_is_not_written_into(module, tmp_path):
    write(module, {"main.tf": ""})
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidUsage, match="file exists"):
        unpack(pack(module), tmp_path / "out")
