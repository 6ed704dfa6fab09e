"""The pages under docs/ say what is so: their examples load, their commands parse, their tables are complete."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from documentation import PROJECT, blocks, commands
from nats_server import BINARY

from processors.terraform.configuration import KEYS, read
from processors.terraform.templates import render
from runner.cli.exits import Exit
from runner.cli.main import app
from runner.model.definition import Activity, ActivityDefinition, OrchestrationDefinition, RetryPolicy
from runner.model.definitions import DefinitionSet
from runner.model.loading import load_definitions
from runner.model.orchestration import Orchestration
from runner.secrets.envelope import Envelope
from runner.secrets.keys import open_key_file

DEFINITIONS, TERRAFORM, CLI, OPERATIONS = (
    f"docs/{name}.md" for name in ("definitions", "terraform", "cli", "operations")
)
PAGES = sorted(str(path.relative_to(PROJECT)) for path in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])


def text_of(page):
    return (PROJECT / page).read_text(encoding="utf-8")


def prose_of(page):
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def of_language(page, language):
    return [block for block in blocks(page) if block.language == language]


def first_cells(page, heading):
    """The names in backticks in the first column of the tables of one section."""
    section = text_of(page).split(f"\n{heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("block", of_language(DEFINITIONS, "json") + of_language(DEFINITIONS, "yaml"), ids=str)
def test_example_definitions_are_valid(block, tmp_path):
    (tmp_path / f"example.{block.language}").write_text(block.text)
    found = load_definitions(tmp_path)
    assert found.orchestrations
    used = {activity.type for one in found.orchestrations.values() for activity in one.activities}
    lacking = DefinitionSet.of(*(ActivityDefinition(type=name) for name in used - found.activities.keys()))
    DefinitionSet(found.entries + lacking.entries, found.problems, found.broken).check()


@pytest.mark.parametrize("model", [Activity, ActivityDefinition, OrchestrationDefinition, RetryPolicy])
def test_every_field_of_the_model_is_described(model):
    described = set(re.findall(r"`([^`]+)`", prose_of(DEFINITIONS)))
    fields = {field.alias for field in model.model_fields.values()}
    assert fields - described == set()


def test_what_is_not_carried_out_yet_is_a_field():
    listed = re.findall(r"^\* `(\w+)`$", text_of(DEFINITIONS).split("### Not carried out yet")[1], re.MULTILINE)
    models = (Activity, ActivityDefinition, OrchestrationDefinition)
    fields = {field.alias for model in models for field in model.model_fields.values()} | {"priority"}
    assert set(listed) <= fields


def test_the_terraform_page_describes_every_key_of_config():
    assert first_cells(TERRAFORM, "## Config") == set(KEYS)


@pytest.mark.parametrize("block", of_language(TERRAFORM, "yaml"), ids=str)
def test_example_configurations_are_read(block):
    read(yaml.safe_load(block.text)["config"])


def test_the_example_template_keeps_a_hostile_value_a_text():
    [block] = of_language(TERRAFORM, "hcl")
    rendered = render(block.text, {"domain": '${file("/etc/passwd")}'}, called="example")
    assert "${" not in rendered
    assert "upstreams = []" in rendered


def test_a_state_that_could_not_be_stored_is_got_back_as_described(tmp_path):
    [block] = of_language(TERRAFORM, "sh")
    workspace = tmp_path / ".tierform/workspaces/acme-ingress"
    (workspace / "configuration").mkdir(parents=True)
    keyring = open_key_file(tmp_path / "key", data_dir=tmp_path / ".tierform")
    state = b'{"version": 4}'
    (workspace / "errored.tfstate.encrypted").write_bytes(Envelope(keyring, "processor/terraform").encrypt(state))
    before_push = block.text.partition("cd configuration\n")[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "TIERFORM_KEY_FILE": str(tmp_path / "key")}
    subprocess.run(["bash", "-ec", before_push], cwd=tmp_path, env=environment, check=True)
    assert (workspace / "configuration/errored.tfstate").read_bytes().strip() == state


def tierform_words(command):
    """The arguments of ``tierform`` in a shell command; None when it calls something else."""
    for part in re.split(r"\s\|\s|;|&&", command):
        words = shlex.split(part.split(" > ")[0])
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words[:1] == ["tierform"]:
            return words[1:]
    return None


def shown_commands():
    shown = [(page, one.line, tierform_words(one.command)) for page in PAGES for one in commands(page)]
    return [pytest.param(words, id=f"{page}:{line}") for page, line, words in shown if words is not None]


@pytest.mark.parametrize("words", shown_commands())
def test_shown_commands_are_accepted(words):
    root = typer.main.get_command(app)
    name, *rest = words
    if name in {"--help", "--version"}:
        return
    context = root.make_context("tierform", [name], resilient_parsing=True)
    command = root.get_command(context, name)
    assert command is not None, f"there is no command {name}"
    if "--help" not in rest:
        command.make_context(name, rest, parent=context)


def test_the_cli_page_has_every_command_and_option_and_no_others():
    root = typer.main.get_command(app)
    page = text_of(CLI)
    options = {
        option
        for command in root.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    }
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) - {"--help", "--version"}
    assert shown == options
    listed = {name.split()[1] for name in first_cells(CLI, "## Commands")}
    assert listed == set(root.commands)


def test_the_cli_page_has_every_environment_variable():
    sources = PROJECT.joinpath("runner").rglob("*.py")
    read_somewhere = {name for path in sources for name in re.findall(r"\bTIERFORM_[A-Z_]+\b", path.read_text())}
    described = set(re.findall(r"TIERFORM_[A-Z_]+", text_of(CLI)))
    assert described == read_somewhere


def test_the_cli_page_has_every_exit_code():
    section = text_of(CLI).split("## Exit codes")[1].split("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == {each.value for each in Exit}


def test_the_json_document_is_an_orchestration():
    [block] = of_language(CLI, "json")
    document = json.loads(block.text)
    assert Orchestration.from_wire(document).state.is_terminal
    assert document.keys() == {field.alias for field in Orchestration.model_fields.values()}


def test_the_servers_configuration_is_one_that_the_server_takes(tmp_path):
    [block] = [block for block in blocks(OPERATIONS) if block.text.startswith("jetstream {")]
    assert "sync_interval: always" in block.text
    (tmp_path / "nats.conf").write_text(block.text.replace("/var/lib/nats", str(tmp_path / "store")))
    subprocess.run([BINARY, "-t", "-c", tmp_path / "nats.conf"], check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        path, _, anchor = link.partition("#")
        target = (PROJECT / page).parent / path if path else PROJECT / page
        if "://" in link or (target.exists() and (not anchor or anchor in anchors(target))):
            continue
        dead.append(link)
    assert dead == []


def anchors(path):
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
