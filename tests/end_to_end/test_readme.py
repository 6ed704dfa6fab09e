"""The README's tutorial does what it shows, in an empty folder, with the real command."""

import re
import subprocess

import pytest
import yaml
from documentation import PROJECT, blocks, commands, walk

from processors.terraform.configuration import read
from runner.model.loading import load_definitions

README = "README.md"
pytestmark = pytest.mark.timeout(120)

# Presses Ctrl-C at the right moment on a machine of any speed, and not after two seconds.
TIMEOUT = """
import signal
import subprocess
import sys

command = sys.argv[sys.argv.index("tierform") :]
with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
    for line in process.stderr:
        print(line, end="", file=sys.stderr, flush=True)
        if "site: terraform_data.page: creating" in line:
            process.send_signal(signal.SIGINT)
sys.exit(process.returncode)
"""


@pytest.fixture(scope="module")
def walkthrough(tmp_path_factory):
    return walk(README, tmp_path_factory.mktemp("readme"), {"timeout": TIMEOUT})


@pytest.mark.parametrize("shown", commands(README), ids=str)
def test_each_command_prints_what_the_readme_shows(walkthrough, shown):
    walkthrough.hold(shown)


def test_the_two_commands_are_targets_of_the_makefile():
    [block] = [block for block in blocks(README) if block.language == "sh"]
    targets = re.findall(r"^make (\w+)", block.text, re.MULTILINE)
    assert targets == ["demo", "test"]
    subprocess.run(["make", "--dry-run", *targets], cwd=PROJECT, check=True, capture_output=True)


def test_the_files_are_a_project_that_a_reader_could_have_written_by_hand(tmp_path):
    files = {block.file: block.text for block in blocks(README) if block.file}
    assert {path.split("/")[0] for path in files} == {"modules", "orchestrations"}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    load_definitions(tmp_path / "orchestrations").check()


def test_the_configuration_for_opentofu_is_one_that_the_processor_reads():
    [block] = [block for block in blocks(README) if block.text.startswith("config:")]
    assert read(yaml.safe_load(block.text)["config"]).binary == "tofu"


def test_every_path_the_readme_links_or_names_is_there():
    text = (PROJECT / README).read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:examples|orchestrations|modules)/[\w./-]*)`", text)
    missing = [path for path in {*links, *named} if not (PROJECT / path).exists()]
    assert links
    assert not missing
