import json
import time

import pytest

from runner.errors import InvalidDefinition, Refused, UnknownThing
from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.definitions import DefinitionSet
from runner.model.loading import load_definitions

INGRESS = {
    "type": "ingress.example.com",
    "provider": "terraform",
    "description": "Routes a tenant's domain",
    "config": {"module": "ingress", "workspace": "{{ tenantId }}-ingress"},
    "inputSchema": {
        "openAPIV3Schema": {
            "type": "object",
            "required": ["tenantId", "host"],
            "properties": {"tenantId": {"type": "string"}, "host": {"type": "string"}, "upstreams": {"type": "array"}},
        }
    },
    "outputSchema": {"openAPIV3Schema": {"type": "object", "properties": {"url": {"type": "string"}}}},
}
SITE = {
    "type": "site.deploy",
    "active": True,
    "compensation": "site.dispose",
    "schema": {
        "type": "object",
        "required": ["tenantId"],
        "properties": {"tenantId": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"}},
    },
    "activities": [
        {"id": "dns", "type": "dns.example.com", "discriminator": "deploy", "inputs": ["tenantId"]},
        {
            "id": "ingress",
            "type": "ingress.example.com",
            "discriminator": "deploy",
            "dependsOn": "dns",
            "inputs": [
                "tenantId",
                {"source": "dns.record.name", "target": "host"},
                {"source": "cell.upstreams", "target": "upstreams"},
            ],
        },
    ],
    "output": [{"source": "ingress.url", "target": "siteUrl"}],
}


def read(document):
    kind = OrchestrationDefinition if "activities" in document else ActivityDefinition
    return kind.from_wire(document)


def faults(*documents):
    """Path, message and remedy of every problem; the activity types t and u exist."""
    known = [{"type": "t", "outputSchema": {"properties": {"url": {"type": "string"}, "list": {}}}}, {"type": "u"}]
    with pytest.raises(InvalidDefinition) as caught:
        DefinitionSet.of(*map(read, [*known, *documents])).check()
    return [(problem.path, problem.message, problem.remedy) for problem in caught.value.problems]


def only(*documents):
    (fault,) = faults(*documents)
    return fault


def orchestration(*activities, **fields):
    return {"type": "o", "activities": list(activities), **fields}


def activity(id_="a", type_="t", **fields):
    return {"id": id_, "type": type_, **fields}


def test_the_architectures_example_is_valid_once_its_types_are_defined():
    dispose = orchestration(type="site.dispose")
    DefinitionSet.of(*map(read, [INGRESS, SITE, {"type": "dns.example.com"}, dispose])).check()


def test_the_architectures_example_lacks_two_definitions():
    with pytest.raises(InvalidDefinition, match="there are 2 problems") as caught:
        DefinitionSet.of(read(INGRESS), read(SITE)).check()
    assert [problem.message for problem in caught.value.problems] == [
        "there is no orchestration definition of type 'site.dispose'",
        "there is no activity definition of type 'dns.example.com'",
    ]


def test_the_specifications_examples_are_valid_once_their_types_are_defined(tmp_path):
    tenant = """{"type": "tenant.example.com", "active": true, "schema": {}, "activities": [
      {"id": "activity1", "type": "activity1.example.com", "inputs": ["cell", "baseUrl"]},
      {"id": "activity2", "type": "activity2.example.com", "dependsOn": "activity1",
       "inputs": [{"source": "activity1.resource", "target": "resourceId"}]}]}"""
    first = """{"type": "activity1.example.com", "provider": "provisioner.example.com",
      "description": "Provisions a resource for a tenant",
      "inputSchema": {"openAPIV3Schema": {}}, "outputSchema": {"openAPIV3Schema": {}}}"""
    test = """{"type": "test.example.com", "description": "Test Deploy Orchestration", "active": true, "schema": {},
      "activities": [{"id": "test-activity", "type": "test", "discriminator": "deploy", "inputs": [], "dependsOn": []}]}"""
    more = '[{"type": "activity2.example.com"}, {"type": "test"}]'
    for index, text in enumerate([tenant, first, test, more]):
        (tmp_path / f"{index}.json").write_text(text)
    found = load_definitions(tmp_path)
    found.check()
    assert set(found.orchestrations) == {"tenant.example.com", "test.example.com"}


def test_an_empty_set_is_valid():
    DefinitionSet().check()


def test_an_unknown_activity_type_comes_with_its_nearest_relative():
    path, message, remedy = only(orchestration(activity(type_="ut"), type="o"), {"type": "uta"})
    assert path == "$.activities[0].type"
    assert message == "there is no activity definition of type 'ut'"
    assert remedy == 'did you mean \'uta\'? otherwise define it: {"type": "ut", "provider": "…"}'


def test_an_unknown_activity_type_without_a_relative_is_to_be_defined():
    assert only(orchestration(activity(type_="zzz")))[2] == 'define it: {"type": "zzz", "provider": "…"}'


def test_a_dangling_dependency_is_named():
    assert only(orchestration(activity(), activity("b", dependsOn=["a", "zz"]))) == (
        "$.activities[1].dependsOn",
        "there is no activity 'zz'",
        "the activities are: a, b",
    )


def test_a_cycle_is_named_in_full():
    pairs = [("x", "y"), ("y", "z"), ("z", "x")]
    assert only(orchestration(*(activity(id_, dependsOn=other) for id_, other in pairs))) == (
        "$.activities[0].dependsOn",
        "activities depend on each other in a cycle: x → y → z → x",
        "remove one of these dependencies",
    )


def test_a_dependency_on_itself_is_named_as_such():
    assert only(orchestration(activity(dependsOn="a"))) == (
        "$.activities[0].dependsOn",
        "'a' depends on itself",
        "remove that dependency",
    )


def test_an_id_stands_once():
    assert only(orchestration(activity(), activity())) == (
        "$.activities[1].id",
        "the id 'a' stands twice",
        "give each activity its own id",
    )


def test_a_type_stands_once_among_its_kind():
    path, message, _ = only({"type": "t"})
    assert (path, message) == ("$.type", "the activity type 't' is already defined at $.type")
    assert only(orchestration(), orchestration())[1] == "the orchestration type 'o' is already defined at $.type"
    DefinitionSet.of(read({"type": "o"}), read(orchestration())).check()


@pytest.mark.parametrize(
    ("inputs", "message", "remedy"),
    [
        (["c.url"], "'c.url' refers to 'c', which is not upstream of 'b'", "add 'c' to dependsOn of 'b'"),
        (
            ["d.url"],
            "'d.url' refers to 'd', which is not upstream of 'b'",
            "'d' itself depends on 'b': turn the dependency round, or take the value from elsewhere",
        ),
        (
            ["b.url"],
            "'b.url' refers to the activity's own output",
            "refer to an activity that it depends on, or to the input",
        ),
        (
            ["a.urll"],
            "'a.urll' refers to 'urll', which the outputSchema of 't' does not have",
            "did you mean 'url'?",
        ),
        (
            ["a.zzz"],
            "'a.zzz' refers to 'zzz', which the outputSchema of 't' does not have",
            "its outputs are: list, url",
        ),
        (
            ["a.url.port"],
            "'a.url.port' refers to 'url.port', which the outputSchema of 't' does not have",
            "correct the reference, or add 'url.port' to that outputSchema",
        ),
        (["a..url"], "'a..url' has an empty part", "write the activity's id, one dot, and the output's name"),
        (
            ["a.url", {"source": "cell", "target": "url"}],
            "'cell' is called 'url', as 'a.url' is already",
            'give one of them another name: {"source": "cell", "target": "…"}',
        ),
    ],
)
def test_a_reference_that_cannot_work_is_refused(inputs, message, remedy):
    document = orchestration(
        activity(), activity("b", dependsOn=["a"], inputs=inputs), activity("c"), activity("d", dependsOn=["b"])
    )
    assert only(document) == (f"$.activities[1].inputs[{len(inputs) - 1}]", message, remedy)


def test_an_output_schema_that_lists_nothing_at_all_can_only_be_corrected():
    closed = {"type": "closed", "outputSchema": {"additionalProperties": False}}
    fault = only(closed, orchestration(activity(type_="closed"), activity("b", dependsOn="a", inputs=["a.x"])))
    assert fault[2] == "correct the reference, or add 'x' to that outputSchema"


def test_references_that_work_pass():
    document = orchestration(
        activity(),
        activity("b", "u", dependsOn="a"),
        activity(
            "c",
            dependsOn="b",
            inputs=["a.url", "a.list.0.x", "b.anything.goes", "cell.name", "a", {"source": "a.url", "target": "again"}],
        ),
        output=["c.url", "cell", {"source": "tenant.name", "target": "tenantName"}, {"source": "c", "target": "all"}],
        input={"tenant": {"name": "x"}},
    )
    DefinitionSet.of(
        read({"type": "u"}),
        read({"type": "t", "outputSchema": {"properties": {"url": {}, "list": {}}}}),
        read(document),
    ).check()


def test_a_whole_key_of_the_input_is_no_reference_to_an_activity():
    document = orchestration(
        activity(inputs=["b.x"]), activity("b"), schema={"properties": {"b.x": {}}}, output=["b.x"]
    )
    DefinitionSet.of(read({"type": "t"}), read(document)).check()


@pytest.mark.parametrize(
    ("output", "schema", "message"),
    [
        ("b.url", {}, "'b.url' refers to 'b', which is neither an activity nor a property of the input's schema"),
        ("cel", {"properties": {"cell": {}}}, "'cel' refers to 'cel', which is neither"),
        ("a.urll", {}, "'a.urll' refers to 'urll', which the outputSchema of 't' does not have"),
    ],
)
def test_an_output_that_refers_to_nothing_is_refused(output, schema, message):
    path, said, remedy = only(orchestration(activity(), output=[output], schema=schema))
    assert path == "$.output[0]"
    assert said.startswith(message)
    assert remedy


def test_outputs_have_names_of_their_own():
    fault = only(orchestration(activity(), activity("b"), output=["a.url", "b.url"]))
    assert fault[:2] == ("$.output[1]", "'b.url' is called 'url', as 'a.url' is already")


def test_an_unknown_compensation_is_refused():
    assert only(orchestration(compensation="oo")) == (
        "$.compensation",
        "there is no orchestration definition of type 'oo'",
        "did you mean 'o'? otherwise define it, or leave compensation out",
    )


def test_a_template_that_does_not_parse_is_refused():
    path, message, _ = only(orchestration(concurrencyKey="{{ tenantId"))
    assert path == "$.concurrencyKey"
    assert message.startswith("the template does not parse: ")
    DefinitionSet.of(read(orchestration(concurrencyKey="{{ tenantId }}-{{ cell.name }}"))).check()


def test_invalid_schemas_are_refused_and_ask_nothing_of_references():
    broken = {"type": "broken", "inputSchema": {"openAPIV3Schema": {"type": 5}}, "outputSchema": {"properties": 5}}
    document = orchestration(activity(type_="broken"), activity("b", dependsOn="a", inputs=["a.x"]))
    paths = [path for path, _, _ in faults(broken, document)]
    assert paths == ["$.inputSchema.openAPIV3Schema.type", "$.outputSchema.properties"]
    (path,) = {path for path, _, _ in faults(orchestration(activity(inputs=["a.x"]), schema={"type": 5}))}
    assert path == "$.schema.type"


def test_all_problems_of_all_definitions_come_at_once():
    found = faults(
        orchestration(activity(type_="zzz", dependsOn="nope", inputs=["a.x"]), compensation="nope"),
        orchestration(activity("p", dependsOn="q"), activity("q", dependsOn="p"), type="second"),
        {"type": "third", "inputSchema": {"type": 5}},
    )
    assert len(found) == 6
    assert all(remedy for path, _, remedy in found if "chema" not in path)


def test_a_definition_is_found_by_its_type_or_its_likeness():
    found = DefinitionSet.of(read(orchestration(activity())), read({"type": "t"}))
    assert found.orchestration("o").type == "o"
    assert found.users_of("t") == ["o"]
    assert found.users_of("u") == []
    with pytest.raises(UnknownThing, match="'oo'") as caught:
        found.orchestration("oo")
    assert caught.value.remedy == "did you mean 'o'?"
    with pytest.raises(UnknownThing) as caught:
        DefinitionSet().orchestration("x")
    assert caught.value.remedy == "the types are: none"


def test_the_first_of_two_definitions_of_a_type_stands():
    found = DefinitionSet.of(*(read({"type": "t", "provider": name}) for name in "ab"))
    assert found.activities["t"].provider == "a"


def test_an_inactive_definition_cannot_be_started():
    found = DefinitionSet.of(read(orchestration(active=False)), read(orchestration(type="p")))
    assert found.startable("p").type == "p"
    with pytest.raises(Refused, match="not active"):
        found.startable("o")


def test_a_thousand_activities_are_checked_in_well_under_a_second():
    chain = [
        activity(
            f"n{i}", dependsOn=[f"n{i - 1}"] if i else [], inputs=[{"source": "n0.url", "target": "x"}] if i else []
        )
        for i in range(1000)
    ]
    found = DefinitionSet.of(
        read({"type": "t", "outputSchema": {"properties": {"url": {}}}}), read(orchestration(*chain))
    )
    start = time.process_time()
    found.check()
    assert time.process_time() - start < 2


def test_files_and_definitions_are_checked_together(tmp_path):
    (tmp_path / "a.json").write_text('{"type": "t",\n "inputSchema": {"type": 5}}')
    (tmp_path / "b.yaml").write_text(
        "type: o\n"
        "onFailure: explode\n"
        "activities:\n"
        "  - {id: a, type: u, retry: {maxAttempts: 0}, dependsOn: zz}\n"
        "  - {id: b, type: broken}\n"
    )
    (tmp_path / "c.json").write_text('{"type": "broken", "provider":')
    (tmp_path / "d.yml").write_text(
        "- 5\n- {type: broken, provider: 5}\n- {type: [broken]}\n- {type: broken, activities: 5}"
    )
    with pytest.raises(InvalidDefinition) as caught:
        load_definitions(tmp_path).check()
    places = [str(problem).splitlines()[0].removeprefix(f"{tmp_path}/") for problem in caught.value.problems]
    assert places.pop(0).startswith(
        "a.json:2:26 $.inputSchema.type: is no valid JSON Schema: fits none of its 2 alternatives"
    )
    assert places == [
        "b.yaml:2:12 $.onFailure: must be 'drain' or 'cancel'",
        "b.yaml:4:19 $.activities[0].type: there is no activity definition of type 'u'",
        "b.yaml:4:43 $.activities[0].retry.maxAttempts: must be greater than or equal to 1",
        "b.yaml:4:58 $.activities[0].dependsOn: there is no activity 'zz'",
        "c.json:1:31: expecting value",
        "d.yml:1:3 $[0]: is no definition",
        "d.yml:2:28 $[1].provider: must be a valid string",
        "d.yml:3:10 $[2].type: must be a valid string",
        "d.yml:4:30 $[3].activities: must be an array",
    ]


def test_a_definition_in_a_file_may_be_a_template(tmp_path):
    template = {
        "description": "d",
        "activities": {
            "s.deploy": [{"id": "a", "type": "t"}],
            "s..x": [],
            "s.dispose": [{"id": "a", "type": "t", "dependsOn": "z"}],
        },
    }
    (tmp_path / "a.json").write_text(json.dumps([{"type": "t"}, template], indent=1))
    with pytest.raises(InvalidDefinition) as caught:
        load_definitions(tmp_path).check()
    assert [problem.path for problem in caught.value.problems] == [
        '$[1].activities["s..x"]',
        '$[1].activities["s.dispose"][0].dependsOn',
    ]
