"""A secret is in no byte of the data folder but Terraform's state, and in nothing that is printed."""

import base64
import json
import os
import signal

import pytest
from sandbox import Sandbox, wait_until

GIVEN = 'canary-IN "quoted" \\ ä-4711'
MADE = "canary-OUT-0815-xyzzy"
NESTED = "canary-NESTED-2342-plugh"
# The made ones stand in it reversed: a module's text is no secret.
MODULE = """
variable "name" { type = string }
variable "password" { type = string }
variable "ledger" { type = string }
variable "fail" { type = bool }
variable "delay" { type = number }
resource "terraform_data" "vault" {
  input = { password = var.password, made = strrev("MADE"), delay = var.delay, ledger = var.ledger }
  provisioner "local-exec" { command = "echo began ${var.name} >> '${var.ledger}'; sleep ${var.delay}" }
  lifecycle {
    postcondition {
      condition     = !var.fail
      error_message = "it failed over ${nonsensitive(var.password)}"
    }
  }
}
output "login" {
  value     = "admin:${terraform_data.vault.output.made}"
  sensitive = true
}
output "deep" {
  value     = { plain = "visible", list = [{ key = strrev("NESTED") }] }
  sensitive = true
}
output "echo" { value = "${var.password} again" }
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("secrets"))
    sandbox.module("vault", MODULE.replace("MADE", MADE[::-1]).replace("NESTED", NESTED[::-1]))
    sandbox.module("user", 'variable "login" { type = string }\nvariable "deep" {}\noutput "length" { value = length(var.login) + length(var.deep.list) }\n')  # fmt: skip
    terraform = {"provider": "terraform"}
    inputs = ["name", "password", "ledger", "fail", "delay"]
    schema = {"type": "object", "properties": {"password": {"type": "string", "sensitive": True}, "delay": {"type": "number"}, "fail": {"type": "boolean"}}}  # fmt: skip
    activities = [
        {"id": "vault", "type": "vault", "inputs": inputs},
        {"id": "user", "type": "user", "dependsOn": "vault", "inputs": ["name", "vault.login", "vault.deep"]},
    ]
    sandbox.define(
        {"type": "vault", "config": {"module": "vault", "workspace": "{{ name }}-vault"}, **terraform},
        {"type": "user", "config": {"module": "user", "workspace": "user"}, "inputSchema": {"type": "object"}, **terraform},
        {"type": "secret.deploy", "active": True, "schema": schema, "activities": [activities[0], {**activities[1], "inputs": activities[1]["inputs"][1:]}]},
    )  # fmt: skip
    yield sandbox
    sandbox.end()


def _given(place: Sandbox, name: str, **more: object) -> str:
    path = place.folder / f"{name}.given.json"
    path.write_text(
        json.dumps({"name": name, "password": GIVEN, "ledger": str(place.ledger), "fail": False, "delay": 0} | more)
    )
    return str(path)


def _forms() -> list[bytes]:
    forms = set()
    for secret in (GIVEN, MADE, NESTED):
        raw = secret.encode()
        forms |= {raw, json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()}
        for shift in range(
            3
        ):  # Base64 of a text depends on where in a triple it begins; its ends mix with what is around.
            forms.add(base64.b64encode(bytes(shift) + raw)[4:-4])
    return sorted(forms)


def _found(place: Sandbox) -> list[str]:
    found = []
    for path in place.data.rglob("*"):
        if path.is_file() and not path.name.startswith("terraform.tfstate"):
            data = path.read_bytes()
            found += [f"{path}: {form!r}" for form in _forms() if form in data]
    return found


def _hides(*texts: str) -> None:
    for text in texts:
        assert not [form for form in _forms() if form in text.encode()], text


def test_no_secret_is_stored_or_printed(place):
    done = place.run("run", "secret.deploy", "--id", "good", "-f", _given(place, "good"))
    assert done.code == 0, done
    assert f"length = {len('admin:' + MADE) + 1}" in done.stdout
    assert "login = (sensitive)" in done.stdout
    document = place.run("run", "secret.deploy", "--id", "good", "-o", "json")
    assert document.json["outputData"]["login"].keys() == {"$secret"}
    failed = place.run("run", "secret.deploy", "--id", "bad", "-f", _given(place, "bad", fail=True))
    assert failed.code == 1, failed
    assert "it failed over ***" in failed.stderr
    started = place.start("run", "secret.deploy", "--id", "cut", "-f", _given(place, "cut", delay=20))
    wait_until(lambda: "began cut" in place.lines())
    os.kill(started.pid, signal.SIGKILL)
    started.process.wait()
    place.assert_nothing_left()
    assert _found(place) == []
    for text in (done, document, failed):
        _hides(text.stdout, text.stderr)
    _hides(started.stdout, started.stderr)
    for command in (
        ("list",),
        ("list", "-o", "json"),
        ("show", "good"),
        ("show", "bad", "-o", "json"),
        ("logs", "bad"),
        ("logs", "good"),
    ):
        ended = place.run(*command)
        assert ended.code == 0, ended
        _hides(ended.stdout, ended.stderr)
    place.assert_no_traceback_in_logs()


def test_secret_inputs_are_compared_when_an_id_is_given_again(place):
    first = place.run("run", "secret.deploy", "--id", "again", "-f", _given(place, "again"))
    assert first.code == 0, first
    assert place.run("run", "secret.deploy", "--id", "again", "-f", _given(place, "again")).code == 0
    other = place.run("run", "secret.deploy", "--id", "again", "-f", _given(place, "again", password="another-secret"))
    assert (other.code, other.stdout) == (2, "")
    assert "differs in: password" in other.stderr
    _hides(other.stderr)
    assert "another-secret" not in other.stderr


def test_the_search_finds_what_is_there(place, tmp_path):
    place.data.mkdir(exist_ok=True)
    leak = place.data / "leak.txt"
    for form in (NESTED, json.dumps(GIVEN), base64.b64encode(b"x" + MADE.encode()).decode()):
        leak.write_text(f"some {form} text")
        assert _found(place)
    leak.unlink()
