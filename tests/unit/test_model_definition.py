import subprocess
import sys
from datetime import UTC, datetime

import pytest

import runner.model
from runner.errors import InvalidDefinition, InvalidInput
from runner.model.definition import (
    DEFAULT_RETRY,
    ActivityDefinition,
    InputReference,
    OrchestrationDefinition,
    RetryPolicy,
)
from runner.model.orchestration import Manifest, Orchestration, OrchestrationEntry, OrchestrationState

TENANT = {
    "type": "tenant.example.com",
    "active": True,
    "schema": {},
    "activities": [
        {"id": "activity1", "type": "activity1.example.com", "inputs": ["cell", "baseUrl"]},
        {
            "id": "activity2",
            "type": "activity2.example.com",
            "dependsOn": "activity1",
            "inputs": [{"source": "activity1.resource", "target": "resourceId"}],
        },
    ],
}
ACTIVITY_1 = {
    "type": "activity1.example.com",
    "provider": "provisioner.example.com",
    "description": "Provisions a resource for a tenant",
    "inputSchema": {"openAPIV3Schema": {}},
    "outputSchema": {"openAPIV3Schema": {}},
}
TEST_DEPLOY = {
    "type": "test.example.com",
    "description": "Test Deploy Orchestration",
    "active": True,
    "schema": {},
    "activities": [{"id": "test-activity", "type": "test", "discriminator": "deploy", "inputs": [], "dependsOn": []}],
}


def faults(kind, document):
    with pytest.raises((InvalidDefinition, InvalidInput)) as caught:
        kind.from_wire(document, source="file")
    assert all(problem.source == "file" for problem in caught.value.problems)
    return {problem.path: problem.message for problem in caught.value.problems}


def definition(**fields):
    return OrchestrationDefinition.from_wire({"type": "t", "activities": [], **fields})


def test_the_specifications_tenant_definition_reads_as_it_stands():
    read = OrchestrationDefinition.from_wire(TENANT)
    assert read.type == "tenant.example.com"
    assert read.input_schema == {}
    assert read.pairs() == [("activity1", ()), ("activity2", ("activity1",))]
    first, second = read.activities
    assert [read.target_of(one) for one in first.inputs] == ["cell", "baseUrl"]
    assert second.inputs == (InputReference(source="activity1.resource", target="resourceId"),)


def test_the_specifications_other_examples_read_as_they_stand():
    assert ActivityDefinition.from_wire(ACTIVITY_1).provider == "provisioner.example.com"
    read = OrchestrationDefinition.from_wire(TEST_DEPLOY)
    assert read.activity("test-activity").discriminator == "deploy"
    assert read.activity("nope") is None


@pytest.mark.parametrize("document", [TENANT, TEST_DEPLOY])
def test_a_definition_reads_back_from_what_it_writes(document):
    read = OrchestrationDefinition.from_wire(document)
    assert OrchestrationDefinition.from_wire(read.to_wire()) == read


def test_an_activity_definition_reads_back_from_what_it_writes():
    document = {
        "type": "a",
        "config": {"module": None, "maxAttempts": [None]},
        "retry": {"maxAttempts": 3, "backoffCoefficient": 2},
        "concurrency": 4,
        "timeoutMillis": 1,
        "heartbeatTimeoutMillis": 2,
        "waitTimeoutMillis": 3,
    }
    read = ActivityDefinition.from_wire(document)
    assert document.items() <= read.to_wire().items()
    assert ActivityDefinition.from_wire(read.to_wire()) == read


def test_every_added_field_reads_and_writes():
    document = {
        "type": "t",
        "description": "d",
        "active": False,
        "schema": {"type": "object"},
        "input": {"cell": None},
        "activities": [],
        "output": ["a.url", {"source": "a.url", "target": "u"}],
        "compensation": "u",
        "onFailure": "cancel",
        "concurrencyKey": "{{ tenantId }}",
        "scheduling": "eager",
        "schedule": "0 3 * * *",
        "ttl": "1d12h",
        "templateRef": "r",
    }
    assert OrchestrationDefinition.from_wire(document).to_wire() == document


def test_null_and_unknown_members_count_as_left_out():
    read = definition(active=None, schema=None, description=None, compensation=None, version=7, depends_on=["x"])
    assert read == definition()
    assert definition(
        activities=[{"id": "a", "type": "t", "discriminator": None, "dependsOn": None, "retry": None}]
    ) == definition(activities=[{"id": "a", "type": "t"}])


def test_snake_case_is_for_python_alone():
    read = definition(activities=[{"id": "a", "type": "t", "depends_on": ["b"]}])
    assert read.activities[0].depends_on == ()
    assert OrchestrationDefinition(type="t", activities=(), on_failure="cancel").on_failure == "cancel"


def test_definitions_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        definition().type = "u"


@pytest.mark.parametrize(("given", "ids"), [("a", ("a",)), (["a", "b", "a"], ("a", "b")), ([], ())])
def test_depends_on_takes_one_id_or_several(given, ids):
    read = definition(activities=[{"id": "x", "type": "t", "dependsOn": given}])
    assert read.activities[0].depends_on == ids


@pytest.mark.parametrize("name", ["a", "a.b", "A-b_c.0", "a" * 200])
def test_a_type_is_made_of_dotted_words(name):
    assert ActivityDefinition.from_wire({"type": name}).type == name


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a.", "a b", "ä", "a/b", "a\n", "a" * 201, "😀", "../x"])
def test_what_is_no_type_is_refused(name):
    assert set(faults(ActivityDefinition, {"type": name})) == {"$.type"}


@pytest.mark.parametrize("name", ["", "a.b", "a\n", "a" * 201, 5])
def test_what_is_no_activity_id_is_refused(name):
    document = {"type": "t", "activities": [{"id": name, "type": "t"}]}
    assert set(faults(OrchestrationDefinition, document)) == {"$.activities[0].id"}


def test_everything_that_is_malformed_is_named_at_once_in_words():
    document = {
        "type": "a..b",
        "active": "yes",
        "activities": [
            {
                "id": "a.b",
                "type": "x",
                "retry": {"maxAttempts": 0, "backoffCoefficient": "2"},
                "dependsOn": [5],
                "inputs": [5, {"target": "x"}, ""],
                "timeoutMillis": "1",
            },
            5,
            {"id": "c"},
        ],
        "onFailure": "explode",
        "ttl": "soon",
        "output": {},
        "input": [],
        "description": 5,
    }
    assert faults(OrchestrationDefinition, document) == {
        "$.type": "must consist of letters, digits, '_', '-' and '.', without an empty part between the dots",
        "$.active": "must be a valid boolean",
        "$.activities[0].id": "must not hold a dot or a control character: references separate the id from what follows by a dot",
        "$.activities[0].retry.maxAttempts": "must be greater than or equal to 1",
        "$.activities[0].retry.backoffCoefficient": "must be a valid number",
        "$.activities[0].dependsOn[0]": "must be a valid string",
        "$.activities[0].inputs[0]": "must be an object",
        "$.activities[0].inputs[1].source": "is required",
        "$.activities[0].inputs[2].source": "must have at least 1 character",
        "$.activities[0].timeoutMillis": "must be a valid integer",
        "$.activities[1]": "must be an object",
        "$.activities[2].type": "is required",
        "$.onFailure": "must be 'drain' or 'cancel'",
        "$.ttl": "must match pattern '^([0-9]+(ms|s|m|h|d|w))+$'",
        "$.output": "must be an array",
        "$.input": "must be an object",
        "$.description": "must be a valid string",
    }


def test_a_document_that_is_no_object_is_refused():
    assert faults(OrchestrationDefinition, []) == {"$": "must be an object"}


@pytest.mark.parametrize(
    "retry",
    [
        {"maxAttempts": 0},
        {"maxAttempts": 1.5},
        {"initialIntervalMillis": 0},
        {"maxIntervalMillis": -1},
        {"backoffCoefficient": 0.5},
        {"backoffCoefficient": float("inf")},
        {"initialIntervalMillis": 10, "maxIntervalMillis": 9},
        5,
    ],
)
def test_a_retry_policy_that_cannot_be_meant_is_refused(retry):
    (path,) = faults(ActivityDefinition, {"type": "t", "retry": retry})
    assert path.startswith("$.retry")


def test_a_retry_policy_takes_what_it_leaves_out_from_the_one_behind_it():
    behind = RetryPolicy(max_attempts=3, backoff_coefficient=1.5)
    assert RetryPolicy(max_attempts=7).over(behind) == RetryPolicy(max_attempts=7, backoff_coefficient=1.5)
    assert RetryPolicy(max_attempts=7).over(None) == RetryPolicy(max_attempts=7)


def test_where_two_policies_do_not_fit_together_the_nearer_one_stands():
    shorter = RetryPolicy(max_interval_millis=10).over(DEFAULT_RETRY)
    assert (shorter.initial_interval_millis, shorter.max_interval_millis) == (10, 10)
    longer = RetryPolicy(initial_interval_millis=90_000).over(DEFAULT_RETRY)
    assert (longer.initial_interval_millis, longer.max_interval_millis) == (90_000, 90_000)


def test_schemas_are_plain_whatever_they_are_wrapped_in():
    plain = {"type": ["string", "null"]}
    wrapped = {"openAPIV3Schema": {"type": "string", "nullable": True}}
    read = ActivityDefinition.from_wire({"type": "t", "inputSchema": wrapped, "outputSchema": plain})
    assert read.plain_input_schema() == read.plain_output_schema() == plain
    assert definition(schema=wrapped).plain_schema() == plain


def test_a_whole_key_of_the_input_keeps_its_name():
    read = definition(schema={"properties": {"a.b": {}}}, input={"c.d": 1})
    targets = [read.target_of(InputReference(source=source)) for source in ("a.b", "c.d", "e.f")]
    assert targets == ["a.b", "c.d", "f"]
    assert definition(schema={"properties": 5}).known_input_keys() == frozenset()


def test_an_unnamed_input_is_a_string_in_json():
    assert InputReference(source="a").to_wire() == "a"
    assert InputReference(source="a", target="b").to_wire() == {"source": "a", "target": "b"}


def test_a_manifest_reads_in_the_reference_systems_form():
    document = {
        "id": "",
        "correlationId": "c",
        "orchestrationType": "t",
        "payload": None,
        "version": 1,
        "priority": None,
    }
    assert Manifest.from_wire(document) == Manifest(correlation_id="c", orchestration_type="t")


def test_a_manifest_that_is_malformed_is_an_invalid_input():
    with pytest.raises(InvalidInput, match="reading the manifest: it breaks 1 rule\n"):
        Manifest.from_wire({})
    assert set(
        faults(Manifest, {"id": "x" * 10_000, "correlationId": "a\nb", "orchestrationType": "..", "priority": 10})
    ) == {
        "$.id",
        "$.correlationId",
        "$.orchestrationType",
        "$.priority",
    }


def test_states_have_the_reference_systems_integers():
    assert [state.value for state in OrchestrationState] == [0, 1, 2, 3, 4, 5, 6]
    assert [state.is_terminal for state in OrchestrationState] == [False, False, True, True, True, False, True]


def test_an_orchestration_has_the_reference_systems_form():
    moment = datetime(2026, 7, 24, tzinfo=UTC)
    shown = Orchestration(
        id="o1",
        state=OrchestrationState.RUNNING,
        state_timestamp=moment,
        created_timestamp=moment,
        orchestration_type="t",
        steps=[{"activities": [{"id": "a", "type": "x"}]}],
        processing_data={"k": None},
        completed={"a": {}},
    )
    entry = {
        "id": "o1",
        "correlationId": "",
        "definitionId": "",
        "state": 1,
        "stateTimestamp": "2026-07-24T00:00:00Z",
        "createdTimestamp": "2026-07-24T00:00:00Z",
        "orchestrationType": "t",
    }
    assert shown.to_wire() == {
        **entry,
        "steps": [{"activities": [{"id": "a", "type": "x", "discriminator": "", "dependsOn": []}]}],
        "processingData": {"k": None},
        "outputData": {},
        "completed": {"a": {}},
    }
    assert Orchestration.from_wire(shown.to_wire()) == shown
    assert list(shown.entry().to_wire()) == list(entry)
    assert OrchestrationEntry.from_wire(entry).to_wire() == entry


def test_an_unknown_state_is_refused():
    moment = "2026-07-24T00:00:00Z"
    document = {"id": "o", "state": 7, "stateTimestamp": moment, "createdTimestamp": moment, "orchestrationType": "t"}
    assert set(faults(OrchestrationEntry, document)) == {"$.state"}


def test_the_package_gives_its_names_when_asked():
    for name in runner.model.__all__:
        assert getattr(runner.model, name).__name__ == name
    with pytest.raises(AttributeError, match="nope"):
        _ = runner.model.nope


def test_importing_the_package_does_not_import_pydantic():
    code = "import sys, runner.model, runner.graph; print('pydantic' in sys.modules, 'jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
