"""A secret is on no disk but in Terraform's own state, whatever happens."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import terraform_shim
from terraform_environment import Bench

from processors.terraform import create
from processors.terraform.embedded.driver import library_path
from runner.activity import ResultType

CANARY = 'C4n4ry"${x}\\/ä'

MODULE = """
variable "name" { type = string }
variable "password" {
  type      = string
  sensitive = true
}
variable "tree" {
  type    = any
  default = null
}
resource "terraform_data" "db" { input = { name = var.name, password = var.password, tree = var.tree } }
output "url" {
  value     = "db://${var.name}:${var.password}@host"
  sensitive = true
}
output "name" { value = var.name }
output "tree" { value = nonsensitive(var.tree) }
"""


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
async def processor(bench):
    made = create(bench.environment())
    yield made
    await made.close()


def exposed(folder: Path, secret: str = CANARY) -> list[str]:
    """Files below ``folder`` with the secret in the clear, in base64 or escaped; Terraform's own state aside."""
    escaped = json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()
    encoded = [base64.b64encode(secret.encode() + b"xx"[:pad]).rstrip(b"=")[:-2] for pad in range(3)]
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("terraform.tfstate"):
            content = path.read_bytes()
            if any(form in content for form in (secret.encode(), *escaped, *encoded, b"C4n4ry")):
                found.append(str(path))
    return found


async def test_a_secret_input_reaches_terraform_and_no_disk(bench, processor):
    bench.module("demo", MODULE)
    context = bench.activity(inputs={"name": "a", "password": CANARY}, secrets=("password",))
    assert (await processor.process(context)).type is ResultType.COMPLETE
    assert context.output_values() == {"url": f"db://a:{CANARY}@host", "name": "a"}
    assert context.changes().sensitive_outputs == {"url"}
    assert exposed(bench.data) == []
    assert not any("C4n4ry" in line for line in bench.lines)
    # The check can fail: Terraform's own state does hold it.
    assert (
        CANARY
        in json.loads((bench.workspace() / "terraform.tfstate").read_text())["resources"][0]["instances"][0][
            "attributes"
        ]["input"]["value"]["password"]
    )


async def test_a_variable_that_its_module_calls_sensitive_is_a_secret(bench, processor):
    bench.module("demo", MODULE)
    assert (
        await processor.process(bench.activity(inputs={"name": "a", "password": CANARY}))
    ).type is ResultType.COMPLETE
    assert exposed(bench.data) == []


async def test_a_module_in_a_dialect_that_is_not_read_gets_every_input_by_memory(bench, processor):
    bench.module("demo", {"main.tf": MODULE, "more.tofu": "anything"})
    result = await processor.process(bench.activity(inputs={"name": "a", "password": CANARY}))
    assert result.type is ResultType.COMPLETE, result.error
    assert exposed(bench.data) == []


async def test_an_output_that_holds_a_secret_is_one_though_the_module_does_not_say_so(bench, processor):
    bench.module("demo", MODULE)
    inputs = {"name": "a", "password": "p", "tree": {"deep": [{"token": CANARY}]}}
    context = bench.activity(inputs=inputs, secrets=("tree", "password"))
    result = await processor.process(context)
    assert result.type is ResultType.COMPLETE, result.error
    assert context.output_values()["tree"] == inputs["tree"]
    assert {"tree", "url"} <= context.changes().sensitive_outputs
    assert exposed(bench.data) == []


async def test_names_in_the_definition_are_sensitive_too(bench, processor):
    bench.module("demo", MODULE)
    context = bench.activity(inputs={"name": CANARY, "password": "p"}, sensitive=["name"])
    assert (await processor.process(context)).type is ResultType.COMPLETE
    assert "name" in context.changes().sensitive_outputs
    assert exposed(bench.data) == []


async def test_disposing_needs_no_secret_and_leaves_none(bench, processor):
    bench.module("demo", MODULE)
    await processor.process(bench.activity(inputs={"name": "a", "password": CANARY}, secrets=("password",)))
    result = await processor.process(bench.activity(discriminator="dispose"))
    assert result.type is ResultType.COMPLETE, result.error
    assert exposed(bench.data) == []
    assert list((bench.data / "workspaces").iterdir()) == []


async def test_a_template_that_would_write_a_secret_is_refused(bench, processor):
    bench.module("demo", {"main.tf": MODULE, "conf.json.j2": '{"p": {{ password | tojson }}}'})
    result = await processor.process(bench.activity(inputs={"name": "a", "password": CANARY}, secrets=("password",)))
    assert result.type is ResultType.FATAL_ERROR
    assert "conf.json.j2: it uses the secret 'password'" in result.error
    assert exposed(bench.data) == []


async def test_a_workspace_named_by_a_secret_is_refused(bench, processor):
    bench.module("demo", MODULE)
    context = bench.activity(
        inputs={"name": "a", "password": CANARY}, secrets=("password",), workspace="{{ password }}"
    )
    result = await processor.process(context)
    assert "uses the secret 'password'" in result.error


async def test_errors_are_masked(bench, processor):
    bench.module(
        "demo",
        MODULE
        + 'resource "terraform_data" "x" {\n  provisioner "local-exec" { command = "echo ${nonsensitive(var.password)}; exit 1" }\n}\n',
    )
    context = bench.activity(inputs={"name": "a", "password": "C4n4ry-plain"}, secrets=("password",))
    result = await processor.process(context)
    assert result.type is ResultType.FATAL_ERROR
    assert "C4n4ry" not in result.error
    assert "***" in result.error


_AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from terraform_environment import Bench, FernetCipher
from processors.terraform import create

async def main():
    bench = Bench(Path(sys.argv[2]))
    bench.cipher = FernetCipher(sys.argv[3].encode())
    bench.module("demo", sys.argv[4])
    processor = create(bench.environment(agent="doomed"))
    await processor.process(bench.activity(inputs={"password": sys.argv[5], "gate": sys.argv[6]}, secrets=("password",)))

asyncio.run(main())
"""

_SLOW = """
variable "gate" { type = string }
variable "password" {
  type      = string
  sensitive = true
}
resource "terraform_data" "first" { input = var.password }
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "if [ -e ${var.gate} ]; then exit 0; fi; touch ${var.gate}.begun; exec sleep 30"
  }
}
output "first" { value = terraform_data.first.id }
"""


async def _killed_agent(bench, tmp_path, gate):
    """An agent in a process of its own, killed in the middle of an apply."""
    support, root = str(Path(__file__).parent.parent / "support"), Path(__file__).parents[2]
    arguments = [
        sys.executable,
        "-c",
        _AGENT,
        support,
        str(tmp_path),
        bench.cipher.key.decode(),
        _SLOW,
        CANARY,
        str(gate),
    ]
    agent = subprocess.Popen(  # noqa: ASYNC220
        arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    async with asyncio.timeout(30):
        while not gate.with_name("gate.begun").exists():
            assert agent.poll() is None
            await asyncio.sleep(0.02)
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()


async def test_a_killed_agents_run_saves_its_state_leaks_nothing_and_is_taken_over(bench, processor, tmp_path):
    gate = tmp_path / "gate"
    await _killed_agent(bench, tmp_path, gate)
    assert exposed(bench.data) == []
    gate.touch()
    bench.module("demo", _SLOW)
    context = bench.activity(inputs={"password": CANARY, "gate": str(gate)}, secrets=("password",))
    result = await processor.process(context)
    assert result.type is ResultType.COMPLETE, result.error
    # The first resource was made by the killed agent's run, and not again.
    assert not any(line.startswith("terraform_data.first: creating") for line in bench.lines)
    assert any(line.startswith("terraform_data.slow: ") for line in bench.lines)
    assert exposed(bench.data) == []


async def test_the_binary_driver_leaks_nothing_either(bench, processor, tmp_path):
    (tmp_path / "bin").mkdir()
    binary = str(terraform_shim.install(tmp_path / "bin", library_path()))
    bench.module("demo", MODULE)
    context = bench.activity(
        inputs={"name": "a", "password": CANARY}, secrets=("password",), binary=binary, version="~> 1.9"
    )
    result = await processor.process(context)
    assert result.type is ResultType.COMPLETE, result.error
    assert context.output_values()["url"] == f"db://a:{CANARY}@host"
    assert exposed(bench.data) == []
    result = await processor.process(bench.activity(discriminator="dispose", binary=binary))
    assert result.type is ResultType.COMPLETE, result.error
