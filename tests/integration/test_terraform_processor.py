"""The processor with the real Terraform on small modules."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from terraform_environment import Bench

from processors.terraform import create
from runner.activity import ResultType, Stopping, StopReason

NAMED = """
variable "name" { type = string }
variable "tags" {
  type    = map(any)
  default = {}
}
resource "terraform_data" "it" { input = { name = var.name, tags = var.tags } }
output "it" { value = terraform_data.it.output }
output "id" { value = terraform_data.it.id }
"""

SLOW = """
variable "gate" { type = string }
resource "terraform_data" "first" { input = "a" }
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "if [ -e ${var.gate} ]; then exit 0; fi; touch ${var.gate}.begun; exec sleep 30"
  }
}
resource "terraform_data" "last" { input = terraform_data.slow.id }
output "first" { value = terraform_data.first.id }
"""


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
async def processor(bench):
    made = create(bench.environment())
    yield made
    await made.close()


async def _complete(processor, context):
    result = await processor.process(context)
    assert result.type is ResultType.COMPLETE, result.error
    return context.output_values()


async def _fatal(processor, context):
    result = await processor.process(context)
    assert result.type is ResultType.FATAL_ERROR, result
    assert "Traceback" not in result.error
    return result.error


def _left(bench):
    folder = bench.data / "workspaces"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def test_deploy_change_no_change_dispose(bench, processor):
    bench.module("demo", NAMED)
    first = await _complete(processor, bench.activity(inputs={"name": "a", "tags": {"x": {"y": [1, None]}}}))
    assert first["it"] == {"name": "a", "tags": {"x": {"y": [1, None]}}}
    assert "Plan: 1 to add, 0 to change, 0 to destroy" in bench.lines

    changed = await _complete(processor, bench.activity(inputs={"name": "b"}, attempt=2))
    assert changed["it"]["name"] == "b"
    assert changed["id"] == first["id"]
    assert "terraform_data.it: changed after 0s" in bench.lines

    bench.lines.clear()
    assert await _complete(processor, bench.activity(inputs={"name": "b"}, attempt=3)) == changed
    assert bench.lines == ["No changes: what exists is what the module describes"]

    # The key alone is enough: neither the module nor its inputs are there any more.
    bench.digests.clear()
    assert await _complete(processor, bench.activity(inputs={}, discriminator="dispose")) == {}
    assert "terraform_data.it: destroyed after 0s" in bench.lines
    assert _left(bench) == []


@pytest.mark.parametrize("discriminator", ["dispose", "destroy", "cfm.orchestration.vpa.dispose"])
async def test_disposing_of_what_does_not_exist_completes_and_says_so(bench, processor, discriminator):
    await _complete(processor, bench.activity(discriminator=discriminator))
    assert bench.lines == ["Nothing to dispose of: workspace 'run-1-web' does not exist"]
    assert _left(bench) == []


async def test_a_plan_changes_nothing_and_sums_up(bench, processor):
    bench.module("demo", NAMED)
    summary = await _complete(processor, bench.activity(inputs={"name": "a"}, discriminator="plan"))
    assert (summary["hasChanges"], summary["add"], summary["change"], summary["destroy"]) == (True, 1, 0, 0)
    assert summary["resources"] == [{"address": "terraform_data.it", "action": "create"}]
    assert _left(bench) == []


async def test_a_plan_of_what_is_deployed_leaves_its_state_alone(bench, processor):
    bench.module("demo", NAMED)
    await _complete(processor, bench.activity(inputs={"name": "a"}))
    before = (bench.workspace() / "terraform.tfstate").read_bytes()
    summary = await _complete(processor, bench.activity(inputs={"name": "b"}, discriminator="plan", attempt=2))
    assert summary["change"] == 1
    assert (bench.workspace() / "terraform.tfstate").read_bytes() == before


async def test_wrong_inputs_are_told_all_at_once_and_leave_nothing(bench, processor):
    bench.module("demo", NAMED)
    error = await _fatal(processor, bench.activity(inputs={"Name": "x", "zone": 1}))
    assert "uses: 'Name', 'zone'" in error
    assert "required variables that no input gives: 'name'" in error
    assert "'Name' looks like the variable 'name'" in error
    assert _left(bench) == []


async def test_a_wrong_type_is_told_in_terraforms_words(bench, processor):
    bench.module("demo", NAMED)
    error = await _fatal(processor, bench.activity(inputs={"name": ["x"]}))
    assert "Invalid value for input variable" in error
    assert _left(bench) == []


async def test_a_module_that_does_not_parse_is_told_with_file_and_line(bench, processor):
    bench.module("demo", {"main.tf": "\nvariable {\n", "more.tf": 'resource "x" {}\n'})
    error = await _fatal(processor, bench.activity())
    assert "main.tf:2" in error
    assert "more.tf:1" in error


async def test_a_failing_module_is_told_whole(bench, processor):
    bench.module(
        "demo",
        'resource "terraform_data" "ok" {}\n'
        'resource "terraform_data" "bad" {\n  depends_on = [terraform_data.ok]\n'
        '  provisioner "local-exec" { command = "echo no luck >&2; exit 7" }\n}\n',
    )
    error = await _fatal(processor, bench.activity())
    for part in (
        "local-exec provisioner error",
        "main.tf:4",
        "exit status 7",
        "done: terraform_data.ok",
        "failed: terraform_data.bad",
    ):
        assert part in error
    bench.module("demo", 'resource "terraform_data" "ok" {}\n')
    await _complete(processor, bench.activity(attempt=2))


async def test_a_template_is_rendered_and_its_files_vanish_with_it(bench, processor):
    bench.module(
        "demo",
        {
            "main.tf.j2": 'locals { names = {{ names | hcl }} }\noutput "n" { value = local.names }\n'
            '{% for name in names %}resource "terraform_data" "r{{ loop.index }}" { input = {{ name | hcl }} }\n{% endfor %}',
            "gone.tf": 'output "gone" { value = 1 }',
        },
    )
    hostile = ['${file("/etc/passwd")}', '%{ for x in y }"\\', "😀\n"]
    outputs = await _complete(processor, bench.activity(inputs={"names": hostile}))
    assert outputs == {"n": hostile, "gone": 1}
    bench.module("demo", {"main.tf.j2": 'output "n" { value = {{ names | tojson }} }'})
    assert await _complete(processor, bench.activity(inputs={"names": ["x"]}, attempt=2)) == {"n": ["x"]}
    assert not (bench.workspace() / "configuration" / "gone.tf").exists()


async def test_an_undefined_template_variable_names_template_line_and_variable(bench, processor):
    bench.module("demo", {"conf/x.json.j2": '{\n "a": {{ host }}\n}', "main.tf": ""})
    error = await _fatal(processor, bench.activity())
    assert "conf/x.json.j2:2: 'host' is undefined" in error
    assert _left(bench) == []


@pytest.mark.parametrize(
    "tenant", ["../../escape", '${file("/etc/passwd")}', "😀" * 20, "x" * 10_000, "a/b\\c\0d", "~~"]
)
async def test_hostile_inputs_stay_data_and_name_one_folder(bench, processor, tenant):
    bench.module("demo", NAMED)
    context = bench.activity(inputs={"name": tenant}, workspace="{{ name }}-web")
    assert (await _complete(processor, context))["it"]["name"] == tenant
    assert len(_left(bench)) == 1
    assert not (bench.data / "escape").exists()
    await _complete(
        processor, bench.activity(inputs={"name": tenant}, workspace="{{ name }}-web", discriminator="dispose")
    )
    assert _left(bench) == []


async def test_a_workspace_is_of_one_module(bench, processor):
    bench.module("demo", NAMED)
    bench.module("other", 'output "x" { value = 1 }')
    await _complete(processor, bench.activity(inputs={"name": "a"}))
    error = await _fatal(processor, bench.activity("other", attempt=2))
    assert "belongs to module 'demo'" in error
    assert (bench.workspace() / "configuration" / "main.tf").read_text() == NAMED


async def test_an_unknown_module_is_a_clear_error(bench, processor):
    assert "the project has none of that name" in await _fatal(processor, bench.activity("nowhere"))


async def test_var_files_lie_under_the_inputs(bench, processor):
    bench.module("demo", {"main.tf": NAMED, "prod.tfvars": 'name = "file"\ntags = { from = "file" }\n'})
    outputs = await _complete(processor, bench.activity(inputs={"name": "input"}, varFiles=["prod.tfvars"]))
    assert outputs["it"] == {"name": "input", "tags": {"from": "file"}}
    outputs = await _complete(processor, bench.activity(varFiles=["prod.tfvars"], attempt=2))
    assert outputs["it"]["name"] == "file"
    assert "has no file '../x'" in await _fatal(processor, bench.activity(varFiles=["../x"], attempt=3))


async def test_a_modules_own_values_lie_under_the_inputs(bench, processor):
    bench.module("demo", {"main.tf": NAMED, "terraform.tfvars.json": '{"name": "own", "tags": {"a": "own"}}'})
    outputs = await _complete(processor, bench.activity(inputs={"name": "input"}))
    assert outputs["it"] == {"name": "input", "tags": {"a": "own"}}
    await _complete(processor, bench.activity(discriminator="dispose"))
    assert _left(bench) == []


async def test_only_targets_are_deployed(bench, processor):
    bench.module("demo", 'resource "terraform_data" "a" {}\nresource "terraform_data" "b" {}\n')
    await _complete(processor, bench.activity(targets=["terraform_data.a"]))
    state = json.loads((bench.workspace() / "terraform.tfstate").read_text())
    assert [each["name"] for each in state["resources"]] == ["a"]


async def test_the_agents_environment_does_not_leak_into_a_run(bench):
    bench.module("demo", NAMED)
    inherited = {
        "PATH": "/usr/bin:/bin",
        "TF_VAR_name": "leak",
        "TF_CLI_ARGS": "-nonsense",
        "TF_WORKSPACE": "other",
        "TF_CLI_CONFIG_FILE": "/gone",
    }
    processor = create(bench.environment(inherited_environment=inherited))
    try:
        assert "required variables that no input gives: 'name'" in await _fatal(processor, bench.activity())
        await _complete(processor, bench.activity(inputs={"name": "a"}, attempt=2))
    finally:
        await processor.close()


async def test_a_definition_adds_to_the_environment(bench, processor):
    bench.module("demo", 'variable "x" {}\noutput "x" { value = var.x }')
    error = await _fatal(processor, bench.activity())
    assert "'x'" in error
    bench.module(
        "demo",
        'resource "terraform_data" "a" {\n  provisioner "local-exec" { command = "echo -n $WHO > ${path.cwd}/who" }\n}\n',
    )
    await _complete(processor, bench.activity(environment={"WHO": "me"}, attempt=2))
    assert (bench.workspace() / "configuration" / "who").read_text() == "me"


@pytest.mark.parametrize("config", [{"version": "1.0.0"}, {"binary": "no-such-terraform"}])
async def test_a_terraform_that_is_not_there_is_a_clear_error(bench, config):
    bench.module("demo", NAMED)
    processor = create(bench.environment(inherited_environment={"PATH": "/nonexistent"}))
    try:
        error = await _fatal(processor, bench.activity(inputs={"name": "a"}, **config))
    finally:
        await processor.close()
    assert "config.binary" in error
    assert _left(bench) == []


async def test_a_fitting_version_is_served_by_the_embedded_terraform(bench, processor):
    bench.module("demo", NAMED)
    await _complete(processor, bench.activity(inputs={"name": "a"}, version=">= 1.9, < 2.0"))


async def test_a_removed_data_folder_is_initialised_again(bench, processor):
    child = {
        "main.tf": 'module "c" {\n  source = "./child"\n}\noutput "c" { value = module.c.v }',
        "child/main.tf": 'output "v" { value = 1 }',
    }
    bench.module("demo", child)
    await _complete(processor, bench.activity())
    modules = bench.workspace() / ".terraform" / "modules"
    (modules / "modules.json").unlink()
    assert await _complete(processor, bench.activity(attempt=2)) == {"c": 1}


async def test_a_source_with_a_slash_is_terraforms_to_get(bench, processor, tmp_path):
    source = tmp_path / "elsewhere"
    source.mkdir()
    (source / "main.tf").write_text(NAMED)
    context = bench.activity(str(source), inputs={"name": "a", "tags": {"x": 1}})
    assert (await _complete(processor, context))["it"] == {"name": "a", "tags": {"x": 1}}
    assert "zone" in await _fatal(processor, bench.activity(str(source), inputs={"name": "a", "zone": 1}, attempt=2))
    await _complete(processor, bench.activity(str(source), discriminator="dispose"))
    assert _left(bench) == []


async def test_a_long_run_is_polled(bench, tmp_path):
    bench.module("demo", SLOW)
    processor = create(bench.environment(short_wait_seconds=0.05))
    gate = tmp_path / "gate"
    bench.module("demo", SLOW.replace("exec sleep 30", "until [ -e ${var.gate}.open ]; do sleep 0.05; done"))
    try:
        first = await processor.process(bench.activity(inputs={"gate": str(gate)}))
        assert first.type is ResultType.SCHEDULE
        assert first.delay == timedelta(seconds=2)
        later = await processor.process(bench.activity(inputs={"gate": str(gate)}, polls=20))
        assert later.delay == timedelta(seconds=15)
        (tmp_path / "gate.open").touch()
        context = bench.activity(inputs={"gate": str(gate)}, polls=2)
        async with asyncio.timeout(20):
            while (result := await processor.process(context)).type is ResultType.SCHEDULE:
                pass
        assert result.type is ResultType.COMPLETE
        assert "first" in context.output_values()
        assert bench.lines.count("terraform_data.first: creating…") == 1
    finally:
        await processor.close()


async def test_a_finished_run_is_collected_by_another_agent_without_running_again(bench, processor):
    bench.module("demo", NAMED)
    outputs = await _complete(processor, bench.activity(inputs={"name": "a"}))
    bench.lines.clear()
    other = create(bench.environment(agent="agent-2"))
    try:
        assert await _complete(other, bench.activity(inputs={"name": "a"})) == outputs
    finally:
        await other.close()
    assert bench.lines == []


async def test_a_busy_workspace_is_waited_for_and_its_holder_named(bench, tmp_path):
    gate = tmp_path / "gate"
    bench.module("demo", SLOW.replace("exec sleep 30", "until [ -e ${var.gate}.open ]; do sleep 0.05; done"))
    inputs = {"gate": str(gate)}
    one = create(bench.environment(agent="agent-1", short_wait_seconds=30))
    two = create(bench.environment(agent="agent-2", short_wait_seconds=0.05))
    same = {"workspace": "shared", "inputs": inputs}
    try:
        running = asyncio.create_task(one.process(bench.activity(**same)))
        await bench.until_told("terraform_data.slow: creating…")
        waiting = await two.process(bench.activity(**same, oid="run-2", activity_id="dns"))
        assert waiting.type is ResultType.SCHEDULE
        told = bench.lines[-1]
        assert re.search(
            r"workspace 'shared': it is held by agent 'agent-1', orchestration 'run-1', activity 'web', since 2", told
        )
        late = bench.activity(
            **same, oid="run-2", activity_id="dns", polls=1, deadline=datetime.now(UTC) - timedelta(seconds=1)
        )
        expired = await two.process(late)
        assert expired.type is ResultType.RETRY_ERROR
        assert "agent 'agent-1'" in expired.error
        (tmp_path / "gate.open").touch()
        assert (await running).type is ResultType.COMPLETE
        assert (await two.process(bench.activity(**same, oid="run-2", activity_id="dns", polls=2))).type in {
            ResultType.COMPLETE,
            ResultType.SCHEDULE,
        }
    finally:
        await one.close()
        await two.close()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (StopReason.CANCEL, ResultType.RETRY_ERROR),
        (StopReason.TIMEOUT, ResultType.RETRY_ERROR),
        (StopReason.LOST, ResultType.RETRY_ERROR),
        (StopReason.DRAIN, ResultType.SCHEDULE),
    ],
)
async def test_a_stop_saves_the_state_and_tells_what_was_made(bench, processor, tmp_path, reason, kind):
    bench.module("demo", SLOW)
    stopping, gate = Stopping(), tmp_path / "gate"
    running = asyncio.create_task(processor.process(bench.activity(inputs={"gate": str(gate)}, stopping=stopping)))
    await bench.until_told("terraform_data.slow: creating…")
    stopping.request(reason)
    result = await asyncio.wait_for(running, 20)
    assert result.type is kind
    if kind is ResultType.RETRY_ERROR:
        assert "interrupted, terraform stopped and saved its state" in result.error
        assert "done: terraform_data.first (creating)" in result.error
        assert "not begun: terraform_data.last (creating)" in result.error
    else:
        assert result.delay == timedelta(0)
    made = {
        each["name"]: each for each in json.loads((bench.workspace() / "terraform.tfstate").read_text())["resources"]
    }
    assert set(made) == {"first", "slow"}
    gate.touch()
    outputs = await _complete(processor, bench.activity(inputs={"gate": str(gate)}, attempt=2))
    assert outputs["first"] == made["first"]["instances"][0]["attributes"]["id"]


async def test_closing_stops_what_nobody_waits_for(bench, tmp_path):
    bench.module("demo", SLOW)
    processor = create(bench.environment(short_wait_seconds=0.01))
    await processor.process(bench.activity(inputs={"gate": str(tmp_path / "gate")}))
    async with asyncio.timeout(20):
        while not (tmp_path / "gate.begun").exists():
            await processor.process(bench.activity(inputs={"gate": str(tmp_path / "gate")}))
        await processor.close()
    assert (bench.workspace() / "terraform.tfstate").exists()


async def test_a_state_that_could_not_be_stored_is_kept_and_blocks_the_workspace(bench, processor):
    bench.module("demo", NAMED)
    await _complete(processor, bench.activity(inputs={"name": "a"}))
    (bench.workspace() / "configuration" / "errored.tfstate").write_text('{"lineage": "x", "canary": "kept-safe"}')
    for attempt in (2, 3):
        error = await _fatal(processor, bench.activity(inputs={"name": "a"}, attempt=attempt))
        assert "errored.tfstate.encrypted" in error
        assert "state push" in error
    kept = bench.workspace() / "errored.tfstate.encrypted"
    assert b"kept-safe" not in kept.read_bytes()
    assert b"kept-safe" in bench.cipher.decrypt(kept.read_bytes())
    assert not (bench.workspace() / "configuration" / "errored.tfstate").exists()
    kept.unlink()
    await _complete(processor, bench.activity(inputs={"name": "a"}, attempt=4))


async def test_a_changed_backend_is_refused_rather_than_forgotten(bench, processor):
    bench.module("demo", NAMED)
    await _complete(processor, bench.activity(inputs={"name": "a"}))
    error = await _fatal(
        processor, bench.activity(inputs={"name": "a"}, attempt=2, backend={"type": "s3", "bucket": "b"})
    )
    assert "its state is in" in error


async def test_the_same_attempt_with_other_inputs_is_another_run(bench, processor):
    bench.module("demo", NAMED)
    await _complete(processor, bench.activity(inputs={"name": "a"}))
    assert (await _complete(processor, bench.activity(inputs={"name": "b"})))["it"]["name"] == "b"


async def test_a_module_without_resources_comes_and_goes(bench, processor):
    bench.module("demo", "")
    assert await _complete(processor, bench.activity()) == {}
    assert _left(bench) == ["run-1-web"]
    await _complete(processor, bench.activity(discriminator="dispose"))
    assert _left(bench) == []


async def test_a_failed_dispose_keeps_everything_for_the_next_try(bench, processor):
    bench.module(
        "demo",
        'resource "terraform_data" "a" {\n  provisioner "local-exec" {\n    when = destroy\n'
        '    command = "[ -e ${path.cwd}/../../../allow ]"\n  }\n}\n',
    )
    await _complete(processor, bench.activity())
    assert "local-exec provisioner error" in await _fatal(processor, bench.activity(discriminator="dispose"))
    (bench.data / "allow").touch()
    await _complete(processor, bench.activity(discriminator="dispose", attempt=2))
    assert _left(bench) == []


async def test_a_newer_workspace_is_refused(bench, processor):
    bench.module("demo", NAMED)
    await _complete(processor, bench.activity(inputs={"name": "a"}))
    facts = bench.workspace() / "workspace.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "v": 99}))
    assert "newer version" in await _fatal(processor, bench.activity(inputs={"name": "a"}, attempt=2))
