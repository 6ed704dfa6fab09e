import errno
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

from runner.errors import InvalidUsage, Refused
from runner.project.scaffold import scaffold

FILES = [".gitignore", "README.md", "modules/greeting/main.tf", "orchestrations/greeting.yaml"]


def written(target: Path) -> list[str]:
    return sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())


def test_new_folder_gets_the_whole_sandbox(tmp_path):
    target = tmp_path / "a" / "b"
    paths = scaffold(target)
    assert written(target) == FILES
    assert paths == sorted(target / name for name in FILES)


def test_other_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    scaffold(tmp_path)
    assert set(written(tmp_path)) == {*FILES, "notes.txt"}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_files_that_would_be_overwritten_are_named_and_kept(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".gitignore").symlink_to("nowhere")
    with pytest.raises(Refused, match=r"\.gitignore, README\.md would be overwritten"):
        scaffold(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "modules").exists()


def test_file_in_the_place_of_the_folder_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidUsage, match="not a directory"):
        scaffold(tmp_path / "file")
    with pytest.raises(InvalidUsage, match="not a directory"):
        scaffold(tmp_path / "file" / "below")


def test_full_disk_leaves_nothing_of_it(tmp_path, monkeypatch):
    real = Path.write_bytes

    def full(self, data):
        if self.name == "main.tf":
            real(self, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidUsage, match="no space left on device"):
        scaffold(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_sandbox_definitions_fit_its_module(tmp_path):
    scaffold(tmp_path)
    activity, deploy, dispose = yaml.safe_load((tmp_path / "orchestrations/greeting.yaml").read_text())
    assert (tmp_path / "modules" / activity["config"]["module"]).is_dir()
    assert deploy["compensation"] == dispose["type"]
    for definition in (deploy, dispose):
        assert {item["type"] for item in definition["activities"]} == {activity["type"]}
        assert set(definition["activities"][0]["inputs"]) <= set(activity["inputSchema"]["properties"])


def test_wheel_carries_the_template():
    builder = WheelBuilder(str(Path(__file__).parents[2]))
    shipped = {file.distribution_path for file in builder.recurse_included_files()}
    assert {f"runner/project/template/{name.lstrip('.')}" for name in FILES} <= shipped
