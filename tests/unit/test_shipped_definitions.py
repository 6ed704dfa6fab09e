"""The definitions that are shipped are valid, and fit the modules they name."""

import json
import re
from pathlib import Path

import pytest

from processors.aws.processor import Config
from processors.terraform.templates import used_names
from runner.graph import tiers
from runner.model.loading import load_definitions
from runner.model.schema import violations

PROJECT = Path(__file__).parents[2]
PROJECTS = {"project": PROJECT, "sandbox": PROJECT / "runner/project/template"}
SHIPPED = {name: load_definitions(folder / "orchestrations") for name, folder in PROJECTS.items()}
ORCHESTRATIONS = [(name, type_) for name, shipped in SHIPPED.items() for type_ in shipped.orchestrations]
TERRAFORM = [
    (name, type_)
    for name, shipped in SHIPPED.items()
    for type_, activity in shipped.activities.items()
    if activity.provider == "terraform"
]


def blocks(module: Path, kind: str) -> dict[str, str]:
    """The root module's blocks of a kind by name, with their text up to the closing brace in column one."""
    text = "\n".join(path.read_text() for path in sorted(module.glob("*.tf")))
    return dict(re.findall(rf'(?ms)^{kind} "(\w+)" {{\n(.*?)^}}', text))


def properties(schema: dict) -> dict:
    return schema.get("openAPIV3Schema", schema)["properties"]


@pytest.mark.parametrize("name", PROJECTS)
def test_shipped_definitions_keep_every_rule(name):
    SHIPPED[name].check()
    assert SHIPPED[name].orchestrations


@pytest.mark.parametrize(("name", "type_"), TERRAFORM)
def test_schemas_of_an_activity_say_what_its_module_takes_and_gives(name, type_):
    activity = SHIPPED[name].activities[type_]
    module = PROJECTS[name] / "modules" / activity.config["module"]
    variables, inputs = blocks(module, "variable"), properties(activity.input_schema)
    assert set(inputs) <= set(variables)
    required = {variable for variable, body in variables.items() if not re.search(r"(?m)^  default\s*=", body)}
    assert required <= set(activity.input_schema.get("openAPIV3Schema", activity.input_schema)["required"])
    assert {name for name, schema in inputs.items() if schema.get("sensitive")} == {
        name for name, body in variables.items() if name in inputs and re.search(r"(?m)^  sensitive\s*= true", body)
    }
    assert set(properties(activity.output_schema)) <= set(blocks(module, "output"))
    templates = "".join(path.read_text() for path in module.rglob("*.j2"))
    assert used_names(templates) <= set(variables)


@pytest.mark.parametrize(("name", "type_"), ORCHESTRATIONS)
def test_activities_are_given_what_they_require_and_nothing_unknown(name, type_):
    shipped = SHIPPED[name]
    for activity in shipped.orchestrations[type_].activities:
        schema = shipped.activities[activity.type].input_schema
        schema = schema.get("openAPIV3Schema", schema)
        given = {reference.target or reference.source for reference in activity.inputs}
        assert given <= set(schema["properties"])
        if activity.discriminator == "deploy":
            assert set(schema["required"]) <= given


@pytest.mark.parametrize("type_", ["aws.object"])
def test_config_of_the_aws_activity_fits_its_processor(type_):
    assert Config.model_validate(dict(SHIPPED["project"].activities[type_].config)).action == "object"


def test_tenant_is_deployed_in_two_tiers_and_disposed_of_in_reverse():
    order = {}
    for type_ in ("tenant.deploy", "tenant.dispose"):
        definition = SHIPPED["project"].orchestrations[type_]
        order[type_] = tiers([(activity.id, activity.depends_on) for activity in definition.activities])
    assert order["tenant.deploy"] == (("did",), ("config", "ingress"))
    assert order["tenant.dispose"] == (("ingress",), ("config",), ("did",))


@pytest.mark.parametrize(
    "change",
    [
        {"tenantId": "../etc"},
        {"tenantId": '${file("/etc/passwd")}'},
        {"tenantId": "a" * 10_000},
        {"tenantId": "🚀"},
        {"tenantId": "ac\nme"},
        {"domain": "Acme.example.com"},
        {"root": "site"},
        {"tenantid": "acme"},
        {"publicKeyJwk": {"kty": "EC", "d": "private"}},
        {"registrationToken": "short"},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_schema_of_the_deploy_refuses_bad_inputs(change):
    schema = SHIPPED["project"].orchestrations["tenant.deploy"].input_schema
    good = {"tenantId": "acme", "domain": "acme.example.com", "cell": "eu-1", "root": "/srv/site"}
    assert violations(schema, good) == []
    assert violations(schema, good | change) != []
