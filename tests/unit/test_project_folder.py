import errno
import os
import stat
from pathlib import Path

import pytest

from runner.errors import InvalidUsage, Refused, UnknownThing, Unreachable
from runner.project import DataDir, Project, is_project_module
from runner.project.disk import disk_error


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("ingress", "did-document", "cell"):
        (tmp_path / "modules" / name).mkdir(parents=True)
    return Project.at(tmp_path)


def test_a_project_needs_a_folder(tmp_path):
    with pytest.raises(UnknownThing, match="no such folder"):
        Project.at(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(UnknownThing, match="no such folder"):
        Project.at(tmp_path / "file")


def test_paths_are_absolute_and_data_lies_in_the_project_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = Project.at(Path())
    assert project.root == tmp_path
    assert project.data.root == tmp_path / ".tierform"
    assert Project.at(Path(), Path("elsewhere")).data.root == tmp_path / "elsewhere"


def test_definitions_are_found_at_any_depth_in_order(project):
    wanted = ["a.json", "deep/er/b.YAML", "deep/c.yml"]
    others = ["readme.md", ".hidden.json", ".git/x.json", "..2024/a.json", "deep/json"]
    for name in (*wanted, *others):
        (project.orchestrations / name).parent.mkdir(parents=True, exist_ok=True)
        (project.orchestrations / name).write_text("{}")
    (project.orchestrations / "linked.json").symlink_to("a.json")
    (project.orchestrations / "deep" / "up").symlink_to(project.orchestrations)
    found = [str(path.relative_to(project.orchestrations)) for path in project.orchestration_files()]
    assert found == ["a.json", "deep/c.yml", "deep/er/b.YAML", "linked.json"]


def test_a_project_without_definitions_or_modules_has_none(tmp_path):
    assert Project.at(tmp_path).orchestration_files() == ()
    assert Project.at(tmp_path).module_names() == ()


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("ingress", True),
        ("..", True),
        ("./ingress", False),
        ("terraform-aws-modules/vpc/aws", False),
        ("git::https://example.com/vpc.git", False),
        ("s3::bucket", False),
    ],
)
def test_a_name_without_slash_or_scheme_is_the_project_s(source, answer):
    assert is_project_module(source) is answer


def test_a_module_is_found_by_its_name(project):
    assert project.module_folder("ingress") == project.modules / "ingress"


def test_an_unknown_module_lists_those_there_are_and_the_closest(project):
    with pytest.raises(UnknownThing, match="which has cell, did-document, ingress") as caught:
        project.module_folder("ingres")
    assert caught.value.remedy == "did you mean 'ingress'?"
    with pytest.raises(UnknownThing) as caught:
        project.module_folder("x" * 10_000)
    assert len(str(caught.value)) < 1000


def test_only_some_of_many_modules_are_listed(project):
    for n in range(30):
        (project.modules / f"m{n:02}").mkdir()
    with pytest.raises(UnknownThing, match="m16 and 13 more"):
        project.module_folder("other")


def test_without_modules_the_remedy_still_says_what_to_do(tmp_path):
    with pytest.raises(UnknownThing, match="which has no modules"):
        Project.at(tmp_path).module_folder("ingress")


@pytest.mark.parametrize("name", ["", ".", "..", "../modules/ingress", "/etc", "a/b", "a\\b", ".git", "a\0b", "git:x"])
def test_a_name_that_leads_out_is_refused(project, name):
    with pytest.raises(Refused, match="not the name of a folder"):
        project.module_folder(name)


def test_a_link_that_leads_out_is_refused_and_one_inside_is_followed(project, tmp_path):
    (tmp_path / "outside").mkdir()
    (project.modules / "evil").symlink_to(tmp_path / "outside")
    (project.modules / "alias").symlink_to("ingress")
    with pytest.raises(Refused, match="leads out"):
        project.module_folder("evil")
    assert project.module_folder("alias") == project.modules / "ingress"


def test_the_data_folder_is_private_and_out_of_version_control(tmp_path):
    data = DataDir.at(tmp_path / "deep" / ".tierform")
    data.create()
    data.create()
    folders = [data.root, data.nats, data.workspaces, data.cache, data.logs]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert (data.root / ".gitignore").read_text().endswith("\n*\n")


def test_an_existing_folder_keeps_its_mode_and_gets_no_ignore_file(tmp_path):
    tmp_path.chmod(0o755)
    DataDir.at(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "logs", "nats", "workspaces"]


def test_a_file_in_the_place_of_the_data_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidUsage, match=r"making the data folder .*: (not a directory|file exists)"):
        DataDir.at(tmp_path / "file").create()
    with pytest.raises(InvalidUsage, match=r"making the data folder .*: not a directory"):
        DataDir.at(tmp_path / "file" / "data").create()


def _create_as_nobody(root: Path) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            DataDir.at(root).create()
            os.write(writer, b"made")
        except BaseException as error:  # noqa: BLE001 - the child reports whatever happened
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_is_not_writable_is_explained(tmp_path):
    for folder in [tmp_path, *tmp_path.parents][:-1]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "data").mkdir(mode=0o755)
    assert "InvalidUsage" in _create_as_nobody(tmp_path / "data")
    DataDir.at(tmp_path / "data").create()
    for folder in (tmp_path / "data").iterdir():
        folder.chmod(0o755)
    assert "is not writable for this user" in _create_as_nobody(tmp_path / "data")


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, Unreachable, "make room"),
        (errno.EDQUOT, Unreachable, "make room"),
        (errno.EIO, Unreachable, ""),
        (errno.EACCES, InvalidUsage, "give this user the right"),
        (errno.EROFS, InvalidUsage, "can be written"),
        (errno.ENOTDIR, InvalidUsage, "check the path"),
    ],
)
def test_refusals_of_the_operating_system_are_translated(number, kind, remedy):
    error = disk_error(OSError(number, os.strerror(number), "/data"), "making '/data'")
    assert type(error) is kind
    assert remedy in error.remedy
    assert error.detail == f"making '/data': {os.strerror(number).lower()} ('/data')"
