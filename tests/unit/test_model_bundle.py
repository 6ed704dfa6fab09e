import json

import pytest
from jsonschema import Draft202012Validator

from runner.errors import InvalidDefinition, NeverRetry, UnknownThing
from runner.model import schemas
from runner.model.bundle import Bundle
from runner.model.definition import DEFAULT_RETRY, ActivityDefinition, OrchestrationDefinition
from runner.model.definitions import DefinitionSet
from runner.model.templates import expand_template, is_template

CELL = {
    "type": "cell",
    "provider": "terraform",
    "config": {"module": "cell", "environment": {"extra": ["other", 1]}},
    "retry": {"maxAttempts": 2, "backoffCoefficient": 3},
    "timeoutMillis": 10,
    "waitTimeoutMillis": 30,
}
DNS = {"type": "dns", "provider": "http"}
TEMPLATE = {
    "id": "vpa",
    "description": "d",
    "schema": {"type": "object"},
    "activities": {
        "vpa.deploy": [{"id": "cell", "type": "cell", "dependsOn": ["dns"]}, {"id": "dns", "type": "dns"}],
        "vpa.dispose": [{"id": "cell", "type": "cell", "discriminator": "mine"}],
        "audit": [{"id": "dns", "type": "dns"}],
    },
}


def definitions(*documents):
    return DefinitionSet.of(
        *((OrchestrationDefinition if "activities" in one else ActivityDefinition).from_wire(one) for one in documents)
    )


def template_set(**fields):
    return DefinitionSet.of(
        *expand_template({**TEMPLATE, **fields}), ActivityDefinition.from_wire(CELL), ActivityDefinition.from_wire(DNS)
    )


def test_a_template_makes_a_definition_of_each_key():
    deploy, dispose, audit = expand_template(TEMPLATE)
    assert [one.type for one in (deploy, dispose, audit)] == ["vpa.deploy", "vpa.dispose", "audit"]
    assert {one.template_ref for one in (deploy, dispose, audit)} == {"vpa"}
    assert [one.discriminator for one in (*deploy.activities, *dispose.activities)] == ["vpa.deploy"] * 2 + [
        "vpa.dispose"
    ]
    assert deploy.description == "d"
    assert deploy.input_schema == {"type": "object"}
    assert deploy.activities[0].depends_on == ("dns",)


def test_a_template_without_an_id_gets_the_one_given_or_one_of_its_content():
    nameless = {**TEMPLATE, "id": None}
    assert {one.template_ref for one in expand_template(nameless, default_id="x")} == {"x"}
    (first, *_), (second, *_) = expand_template(nameless), expand_template(json.loads(json.dumps(nameless)))
    assert first.template_ref == second.template_ref != ""


def test_a_template_that_breaks_rules_names_their_places_in_itself():
    with pytest.raises(InvalidDefinition) as caught:
        expand_template({"activities": {"a": [{"id": "x"}, 5], "b": 5, "c..d": []}})
    assert [problem.path for problem in caught.value.problems] == [
        "$.activities.a[0].type",
        "$.activities.a[1]",
        "$.activities.b",
        '$.activities["c..d"]',
    ]


def test_a_template_is_told_by_its_activities():
    assert is_template(TEMPLATE)
    assert not is_template({"activities": []})
    assert not is_template([])


def test_a_bundle_holds_what_its_definition_uses_and_no_more():
    bundle = Bundle.compile(template_set(), "audit", {"cell": "sha256:1"})
    assert set(bundle.activities) == {"dns"}
    assert bundle.modules == {}
    assert bundle.compensation is None


def test_a_bundle_keeps_the_modules_that_its_configs_name():
    bundle = Bundle.compile(
        template_set(), "vpa.deploy", {"cell": "sha256:1", "other": "sha256:2", "third": "sha256:3"}
    )
    assert bundle.modules == {"cell": "sha256:1", "other": "sha256:2"}
    assert bundle.settings("cell").modules == bundle.modules
    assert bundle.settings("dns").modules == {}


def test_deploy_and_dispose_of_one_template_undo_each_other_once():
    deploy, dispose = (Bundle.compile(template_set(), f"vpa.{way}") for way in ("deploy", "dispose"))
    assert deploy.compensation.definition.type == "vpa.dispose"
    assert dispose.compensation.definition.type == "vpa.deploy"
    assert deploy.compensation.compensation is None


def test_definitions_that_merely_look_alike_do_not_undo_each_other():
    alike = [{"type": f"x.{way}", "activities": []} for way in ("deploy", "dispose")]
    assert Bundle.compile(definitions(*alike), "x.deploy").compensation is None
    foreign = [{**one, "templateRef": one["type"]} for one in alike]
    assert Bundle.compile(definitions(*foreign), "x.deploy").compensation is None


def test_a_compensation_that_is_named_wins():
    chosen = definitions(*({"type": name, "activities": [], "compensation": "audit"} for name in ("x.deploy", "audit")))
    assert Bundle.compile(chosen, "x.deploy").compensation.definition.type == "audit"
    itself = Bundle.compile(chosen, "audit")
    assert itself.compensation.definition.type == "audit"
    assert itself.compensation.compensation is None


@pytest.mark.parametrize(
    "documents",
    [
        [{"type": "u", "activities": []}],
        [{"type": "t", "activities": [{"id": "a", "type": "nope"}]}],
        [{"type": "t", "activities": [], "compensation": "nope"}],
    ],
)
def test_a_bundle_of_something_incomplete_is_refused(documents):
    with pytest.raises(UnknownThing):
        Bundle.compile(definitions(*documents), "t")


def test_a_bundle_reads_back_and_its_digest_is_that_of_its_content():
    bundle = Bundle.compile(template_set(), "vpa.deploy", {"cell": "sha256:1"})
    again = Bundle.from_bytes(bundle.to_bytes())
    assert again == bundle
    assert again.digest == bundle.digest
    assert bundle.digest.startswith("sha256:")
    assert Bundle.compile(template_set(), "vpa.deploy", {"cell": "sha256:2"}).digest != bundle.digest
    assert Bundle.compile(template_set(description="e"), "vpa.deploy", {"cell": "sha256:1"}).digest != bundle.digest


def test_a_bundle_does_not_depend_on_the_order_of_members():
    turned = {key: TEMPLATE[key] for key in reversed(TEMPLATE)}
    assert (
        Bundle.compile(template_set(), "vpa.deploy").digest
        == Bundle.compile(template_set(**turned), "vpa.deploy").digest
    )


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"{"])
def test_what_is_no_bundle_is_refused(data):
    with pytest.raises(NeverRetry):
        Bundle.from_bytes(data)


def test_an_activitys_settings_win_over_its_definitions():
    mine = {
        "id": "a",
        "type": "cell",
        "retry": {"maxAttempts": 9},
        "timeoutMillis": 99,
        "inputs": ["x.y", {"source": "x.z", "target": "w"}],
    }
    plain = {"id": "b", "type": "dns", "heartbeatTimeoutMillis": 5}
    bundle = Bundle.compile(definitions(CELL, DNS, {"type": "t", "activities": [mine, plain]}), "t")
    settings = bundle.settings("a")
    assert (settings.timeout_millis, settings.wait_timeout_millis, settings.heartbeat_timeout_millis) == (99, 30, None)
    assert (settings.retry.max_attempts, settings.retry.backoff_coefficient) == (9, 3)
    assert settings.retry.max_interval_millis == DEFAULT_RETRY.max_interval_millis
    assert settings.inputs == (("x.y", "y"), ("x.z", "w"))
    assert bundle.settings("b").retry == DEFAULT_RETRY
    assert bundle.settings("b").heartbeat_timeout_millis == 5
    with pytest.raises(UnknownThing, match="'zz'"):
        bundle.settings("zz")


@pytest.mark.parametrize("name", schemas.PUBLISHED)
def test_the_published_schemas_are_those_of_the_model(name):
    assert (schemas.FOLDER / name).read_text() == schemas.render(schemas.PUBLISHED[name]), (
        "renew them: python -m runner.model.schemas"
    )


def test_the_published_schemas_are_written_where_they_belong(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schemas, "FOLDER", tmp_path / "schemas")
    schemas.main()
    assert sorted(file.name for file in (tmp_path / "schemas").iterdir()) == sorted(schemas.PUBLISHED)
    assert capsys.readouterr().err.count("wrote") == 2


@pytest.mark.parametrize(
    ("model", "document", "valid"),
    [
        (OrchestrationDefinition, {"type": "t", "activities": []}, True),
        (OrchestrationDefinition, {"type": "t", "activities": [], "compensation": None, "version": 5}, True),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a", "type": "t", "dependsOn": "b"}]}, True),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a", "type": "t", "dependsOn": ["b"]}]}, True),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a", "type": "t", "inputs": ["x"]}]}, True),
        (
            OrchestrationDefinition,
            {"type": "t", "activities": [{"id": "a", "type": "t", "inputs": [{"source": "x"}]}]},
            True,
        ),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a", "type": "t", "retry": None}]}, True),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a", "type": "t", "inputs": [5]}]}, False),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a.b", "type": "t"}]}, False),
        (OrchestrationDefinition, {"type": "t", "activities": [{"id": "a", "type": "t", "dependsOn": 5}]}, False),
        (OrchestrationDefinition, {"type": "a..b", "activities": []}, False),
        (OrchestrationDefinition, {"type": "t"}, False),
        (OrchestrationDefinition, {"type": "t", "activities": [], "onFailure": "x"}, False),
        (ActivityDefinition, {"type": "t", "inputSchema": {"openAPIV3Schema": {}}, "retry": {"maxAttempts": 1}}, True),
        (ActivityDefinition, {"type": "t", "retry": {"maxAttempts": 0}}, False),
        (ActivityDefinition, {"type": "t", "concurrency": "4"}, False),
        (ActivityDefinition, {}, False),
    ],
)
def test_the_published_schemas_accept_just_what_the_model_accepts(model, document, valid):
    schema = schemas.generate(model)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(document) is valid
    if valid:
        model.from_wire(document)
    else:
        with pytest.raises(InvalidDefinition):
            model.from_wire(document)
