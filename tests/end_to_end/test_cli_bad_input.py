"""Bad input: a reason, a remedy, exit code 2 or 1, no traceback, nothing half-written; afterwards a correct run succeeds."""

import json

import pytest
from sandbox import Sandbox

TENANT = {"type": "object", "required": ["tenantId"], "properties": {"tenantId": {"type": "string"}}}
MODULE = 'variable "tenantId" { type = string }\noutput "tenant" { value = "${var.tenantId}: ${trimspace(file("${path.module}/who.txt"))}" }\n'
FAILING = """
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "echo the reason >&2; exit 3" }
}
"""
HOSTILE = [
    "../../../../escaped",
    '${file("/etc/passwd")}',
    "%{ for x in [1] }{{ 7 * 7 }}{% raw %}",
    "x" * 10_000,
    "\N{ROCKET}\N{MAN}\N{ZERO WIDTH JOINER}\N{ROCKET}",
    'line\nbreak "quoted" \\ $(id) `id` \x7f',
    ".",
    "-rf",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("bad"))
    sandbox.module("who", MODULE, who__txt__j2="{{ tenantId | hcl }}")
    sandbox.define(*_definitions("who"))
    assert sandbox.run("run", "who.deploy", "--detach", "--timeout", "30s", "-i", "tenantId=first").code == 0
    yield sandbox
    try:
        assert sandbox.run("run", "who.deploy", "-i", "tenantId=last").code == 0
        sandbox.run("stop")
        sandbox.assert_nothing_left()
        sandbox.assert_no_traceback_in_logs()
    finally:
        sandbox.end()


def _definitions(module: str, **config: object) -> list[dict]:
    return [
        {"type": module, "provider": "terraform", "config": {"module": module, "workspace": "{{ tenantId }}-" + module, **config}},
        {"type": f"{module}.deploy", "active": True, "schema": TENANT, "activities": [{"id": "x", "type": module, "inputs": ["tenantId"]}]},
    ]  # fmt: skip


def _refused(place: Sandbox, *arguments: object, text: str | None = None, code: int = 2) -> str:
    workspaces = sorted(path.name for path in (place.data / "workspaces").iterdir())
    ended = place.run("run", *arguments, text=text)
    assert (ended.code, ended.stdout) == (code, ""), ended
    assert sorted(path.name for path in (place.data / "workspaces").iterdir()) == workspaces
    return ended.stderr


def test_an_unknown_type_lists_those_there_are(place):
    said = _refused(place, "who.destroy", "-i", "tenantId=a")
    assert "'who.destroy'" in said
    assert "who.deploy" in said


def test_a_missing_file_is_named(place):
    assert "absent.json" in _refused(place, "absent.json", "-i", "tenantId=a")
    assert "absent.yaml" in _refused(place, "who.deploy", "-f", "absent.yaml")


@pytest.mark.parametrize(
    ("name", "text", "position"),
    [
        ("inputs.json", '{\n  "tenantId": acme\n}', "inputs.json:2:15"),
        ("inputs.yaml", "tenantId: [a\nb: c\n", "inputs.yaml:2:"),
        ("inputs.json", '{"tenantId": "a", "tenantId": "b"}', "inputs.json:1:"),
        ("inputs.json", "", "inputs.json"),
        ("inputs.json", '["a"]', "inputs.json"),
        ("inputs.json", '{"tenantId": NaN}', "inputs.json:1:"),
        ("inputs.yaml", "a: &x [*x]\n", "inputs.yaml"),
        ("inputs.yaml", "a: !!python/object/apply:os.system [id]\n", "inputs.yaml:1:"),
    ],
)  # fmt: skip
def test_malformed_inputs_are_located(place, name, text, position):
    path = place.folder / name
    path.write_text(text)
    assert position in _refused(place, "who.deploy", "-f", path)


def test_malformed_standard_input_is_located(place):
    assert "<stdin>:2:15" in _refused(place, "who.deploy", "-f", "-", text='{\n  "tenantId": acme\n}')


def test_input_that_is_no_utf8_is_refused(place):
    path = place.folder / "latin.json"
    path.write_bytes(b'{"tenantId": "\xe4"}')
    assert "latin.json:1:" in _refused(place, "who.deploy", "-f", path)


@pytest.mark.parametrize(("name", "text"), [("own.json", '[{"type": "x",\n}]'), ("own.yaml", "type: x\n  y: z\n")])
def test_malformed_definitions_are_located(place, name, text):
    path = place.folder / name
    path.write_text(text)
    assert f"{name}:2:" in _refused(place, path, "-i", "tenantId=a")
    assert f"{name}:2:" in place.run("validate", path).stderr


def test_all_violations_of_the_schema_are_told_at_once(place):
    path = place.folder / "strict.json"
    types = _definitions("who")
    types[1]["schema"] = {
        "type": "object",
        "required": ["tenantId", "cell"],
        "properties": {"tenantId": {"type": "string", "maxLength": 3}, "size": {"type": "integer"}},
    }
    path.write_text(json.dumps(types))
    said = _refused(place, path, "-i", "tenantId=acme", "-i", "size=many")
    for part in ("$.tenantId", "$.cell", "$.size"):
        assert part in said


def test_all_problems_of_definitions_are_told_at_once(place):
    path = place.folder / "wrong.json"
    activities = [
        {"id": "a", "type": "nothing", "dependsOn": "b"},
        {"id": "b", "type": "who", "dependsOn": ["a", "c"], "inputs": ["x.y"]},
    ]
    path.write_text(json.dumps([{"type": "wrong", "active": True, "schema": {}, "activities": activities}]))
    said = _refused(place, path)
    for part in ("'nothing'", "'c'", "a → b → a"):
        assert part in said
    assert "wrong.json" in said


def test_an_inactive_definition_is_not_started(place):
    path = place.folder / "inactive.json"
    types = _definitions("who")
    types[1]["active"] = False
    path.write_text(json.dumps(types))
    assert "not active" in _refused(place, path, "-i", "tenantId=a")


def test_an_unknown_module_is_found_before_anything_starts(place):
    path = place.folder / "unknown.json"
    path.write_text(json.dumps(_definitions("nowhere")))
    said = _refused(place, path, "-i", "tenantId=a")
    assert "nowhere" in said
    assert "who" in said


def test_a_module_outside_the_project_leaves_nothing(place):
    path = place.folder / "outside.json"
    for module in ("../who", "who/../../..", "", 7):
        types = _definitions("who", workspace="{{ tenantId }}-outside")
        types[0]["config"]["module"] = module
        path.write_text(json.dumps(types))
        ended = place.run("run", path, "-i", "tenantId=a")
        assert ended.code in (1, 2), ended
        assert not (place.data / "workspaces/a-outside").exists()


BROKEN = {
    "unparsable": ({"main": 'variable "tenantId" {\n  type = string\n'}, ("main.tf:", "block")),
    "undefined": ({"main": MODULE, "who__txt__j2": "1\n{{ tenant_id }}"}, ("who.txt.j2:2", "'tenant_id' is undefined")),
    "broken": ({"main": MODULE, "who__txt__j2": "{% if %}"}, ("who.txt.j2:1",)),
    "sneaky": ({"main": MODULE, "who__txt__j2": "{{ ''.__class__.__mro__ }}"}, ("who.txt.j2:1", "unsafe")),
    "wanting": ({"main": MODULE + 'variable "other" {}', "who__txt": "x"}, ("'other'",)),
    "deaf": ({"main": 'output "x" { value = 1 }'}, ("'tenantId'",)),
    "typed": ({"main": 'variable "tenantId" { type = list(string) }'}, ("tenantId", "list of string")),
    "failing": ({"main": MODULE + FAILING, "who__txt": "x"}, ("exit status 3", "the reason")),
}


def test_each_module_that_does_not_work_is_told_with_its_file_and_line(place):
    types, activities = [], []
    for name, (files, _) in BROKEN.items():
        place.module(name, files["main"], **{file: text for file, text in files.items() if file != "main"})
        types.append(_definitions(name)[0])
        activities.append({"id": name, "type": name, "inputs": ["tenantId"]})
    path = place.folder / "broken.json"
    path.write_text(json.dumps([*types, {"type": "all", "active": True, "schema": TENANT, "activities": activities}]))
    ended = place.run("run", path, "-i", "tenantId=acme", "--id", "broken")
    assert (ended.code, ended.stdout) == (1, ""), ended
    told = {line["id"]: line["error"] for line in place.show("broken")["activities"]}
    for name, (_, words) in BROKEN.items():
        assert all(word in told[name] for word in words), told[name]
        assert all(word in ended.stderr for word in words), ended
        # Terraform has begun in one alone: there may be something to keep.
        assert (place.data / f"workspaces/acme-{name}").exists() == (name == "failing")


def test_any_text_is_data_and_stays_in_its_place(place):
    path = place.folder / "hostile.jsonl"
    path.write_text("".join(json.dumps({"tenantId": tenant}) + "\n" for tenant in HOSTILE))
    before = sorted(path.name for path in place.folder.iterdir())
    ended = place.run("run", "who.deploy", "--each", path, "-o", "json")
    assert ended.code == 0, ended
    made = [one["outputData"]["tenant"].partition(": ")[0] for one in ended.json]
    assert made == HOSTILE
    assert "root:x:0" not in ended.stdout
    again = place.run("run", "who.deploy", "--each", path)
    assert again.stderr.count("No changes") == len(HOSTILE)
    assert sorted(path.name for path in place.folder.iterdir()) == before


def test_a_workspace_of_another_module_is_refused(place):
    place.module("other", MODULE, who__txt="x")
    path = place.folder / "other.json"
    path.write_text(json.dumps(_definitions("other", workspace="first-who")))
    ended = place.run("run", path, "-i", "tenantId=first")
    assert (ended.code, ended.stdout) == (1, ""), ended
    assert "belongs to module 'who'" in ended.stderr
