import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.model.admission import Verdict, first_excluded, listed_names, verdict_on
from runner.model.paths import json_path
from runner.model.schema import plain, schema_problems, sensitive_paths, violations

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PASSWORD = {"type": "string", "sensitive": True, "minLength": 12}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def said(schema: Any, value: Any, **options: Any) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in violations(schema, value, **options)]


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"type": "string"}, 5, "$: must be a string, not 5"),
        ({"type": ["string", "null"]}, [], "$: must be a string or null, not an array"),
        ({"type": "integer"}, {}, "$: must be an integer, not an object"),
        ({"const": 1}, "x" * 100, f'$: must be 1, not "{"x" * 59}…'),
        ({"enum": ["a", "b"]}, "c", '$: must be one of "a", "b", not "c"'),
        ({"enum": list(range(20))}, -1, "$: must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more, not -1"),
        ({"pattern": "^a$"}, "\n", '$: must match the pattern "^a$", not "\\n"'),
        ({"minLength": 2}, "é", "$: must have at least 2 characters, has 1"),
        ({"maxItems": 1}, [1, 2], "$: must have at most 1 items, has 2"),
        ({"minimum": 1}, 0, "$: must be at least 1, not 0"),
        ({"exclusiveMaximum": 1}, 1, "$: must be less than 1, not 1"),
        ({"multipleOf": 2}, 3, "$: must be a multiple of 2, not 3"),
        ({"format": "ipv4"}, "1.2.3", '$: must have the format "ipv4", not "1.2.3"'),
        ({"uniqueItems": True}, [1, 1], "$: must not hold the same item twice"),
        ({"contains": {"const": 1}}, [], "$: must hold an item of the kind that its schema asks for"),
        ({"minProperties": 1}, {}, "$: must have at least 1 properties"),
        ({"maxProperties": 0}, {"a": 1}, "$: must have at most 0 properties"),
        ({"not": {}}, 1, "$: is what its schema excludes"),
        ({"items": {"not": {"const": 2}}}, [1, 2], "$[1]: is what its schema excludes"),
        (False, 1, "$: is not allowed"),
        ({"type": "integer"}, "\ud800😀\n", '$: must be an integer, not "\\ud800😀\\n"'),
        ({"additionalProperties": {"type": "null"}}, {"a\nb": 1}, '$["a\\nb"]: must be null, not 1'),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "$: violates 'dependentRequired' of its schema"),
        ({"additionalProperties": False}, {"a.b": 1}, '$: has properties that are not known: "a.b"'),
        ({"oneOf": [{}, {}]}, 1, "$: fits more than one of its alternatives, and must fit one alone"),
        (
            {"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]},
            {},
            "$: fits none of its 2 alternatives; the nearest: a is required",
        ),
        ({"anyOf": [{"const": 1}]}, 2, "$: fits none of its 1 alternatives; the nearest: must be 1, not 2"),
    ],
)
def test_a_violation_says_what_must_be_and_what_is(schema, value, text):
    assert said(schema, value) == [text]


def test_all_violations_come_at_once_in_the_order_of_their_places():
    schema = {
        "type": "object",
        "required": ["tenantId", "cell"],
        "properties": {"ports": {"type": "array", "items": {"type": "integer"}}, "cell": {}, "tenantId": {}},
    }
    assert said(schema, {"ports": [1, "x", 2, "y"]}, root="$.inputs") == [
        "$.inputs.tenantId: is required",
        "$.inputs.cell: is required",
        '$.inputs.ports[1]: must be an integer, not "x"',
        '$.inputs.ports[3]: must be an integer, not "y"',
    ]


@pytest.mark.parametrize(
    ("schema", "value", "remedy"),
    [
        ({"required": ["a"], "properties": {"a": {"type": "string"}}}, {}, "give it as a string"),
        ({"required": ["a"]}, {}, "give it a value"),
        ({"enum": ["deploy", "dispose", 1]}, "depoly", "did you mean 'deploy'?"),
        ({"enum": ["deploy"]}, 1, ""),
        ({"properties": {"cell": {}}, "additionalProperties": False}, {"cel": 1}, "did you mean 'cell'?"),
        (
            {"properties": {"cell": {}}, "patternProperties": {"^x-": {}}, "additionalProperties": False},
            {"zzz": 1, "x-a": 1},
            'leave it out; known are "cell"',
        ),
        ({"additionalProperties": False}, {"zzz": 1}, "leave it out; known are none"),
    ],
)
def test_a_violation_says_what_to_do_where_it_can(schema, value, remedy):
    (problem,) = violations(schema, value)
    assert problem.remedy == remedy


def test_a_required_name_with_a_quote_in_it_is_found():
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "required": ["it's"]}
    assert said(schema, {}) == ['$["it\'s"]: is required']


def test_defaults_are_not_applied_and_unknown_keywords_ignored():
    value: dict[str, Any] = {}
    assert said({"properties": {"a": {"default": 1, "frobnicate": 2}}, "sensitive": False}, value) == []
    assert value == {}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-07-24", "2026-13-01"),
        ("date", "2026-07-24", "20260724"),
        ("date-time", "2026-07-24T10:00:00.5Z", "2026-07-24 10:00"),
        ("date-time", "2026-07-24t10:00:00+02:00", "2026-02-30T10:00:00Z"),
        ("time", "10:00:00z", "25:00:00Z"),
        ("time", "10:00:00z", "10:00"),
        ("email", "a@b", "a b@c"),
        ("hostname", "a.example.com.", "-a.example.com"),
        ("hostname", "a.example.com", "a" * 254),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "fe80::1%eth0"),
        ("ipv6", "::1", "1"),
        ("regex", "^a$", "["),
        ("uri", "https://example.com/a?b#c", "example.com"),
        ("uri", "urn:x", "https://a b"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"),
        ("password", "anything", None),
    ],
)
def test_formats_are_checked_on_strings_alone(name, good, bad):
    schema = {"format": name}
    assert said(schema, good) == []
    assert said(schema, 5) == []
    assert bad is None or len(said(schema, bad)) == 1


def test_a_schema_of_an_earlier_draft_is_read_by_its_rules():
    tuple_form = {"$schema": DRAFT_7, "items": [{"type": "string"}], "additionalItems": {"type": "integer"}}
    assert said(tuple_form, ["a", 1, "b"]) == ['$[2]: must be an integer, not "b"']


@pytest.mark.parametrize(
    ("schema", "path", "text"),
    [
        ({"type": "strnig"}, "$.type", "is no valid JSON Schema: fits none of its 2 alternatives"),
        ({"properties": {"a": {"pattern": "["}}}, "$.properties.a.pattern", 'must have the format "regex"'),
        ({"properties": 5}, "$.properties", "must be an object"),
        ({"openAPIV3Schema": {"minLength": "x"}}, "$.openAPIV3Schema.minLength", "must be an integer"),
        ({"openAPIV3Schema": 5}, "$.openAPIV3Schema", "must be an object"),
        ({"$schema": "https://example.com/mine"}, "$.$schema", "dialect"),
        ({"$schema": 5}, "$.$schema", "dialect"),
        ({"items": {"$ref": "https://example.com/x"}}, "$.items.$ref", "is not in this schema"),
        ({"$ref": "#/$defs/nope"}, "$.$ref", "is not in this schema"),
        ({"properties": {"a": {"sensitive": "true"}}}, "$.properties.a.sensitive", "must be true or false"),
    ],
)
def test_an_invalid_schema_is_reported_with_its_place_and_checks_nothing(schema, path, text):
    (problem,) = schema_problems(schema)
    assert problem.path == path
    assert text in problem.message
    (instead,) = violations(schema, {}, root="$.inputs")
    assert instead.path == "$.inputs"
    assert "its schema is invalid" in instead.message


def test_all_faults_of_a_schema_come_at_once():
    faults = schema_problems({"type": 5, "properties": {"a": {"minLength": -1}}}, root="$.schema")
    assert [fault.path for fault in faults] == ["$.schema.properties.a.minLength", "$.schema.type"]


def test_a_property_named_like_a_keyword_is_no_keyword():
    schema = {"properties": {"sensitive": {"type": "string"}, "$ref": {"type": "string"}, "nullable": {}}}
    assert schema_problems(schema) == []
    assert sensitive_paths(schema, {"sensitive": "x", "$ref": "y"}) == []


def test_references_inside_the_schema_are_followed():
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/c"}}}, "c": {"type": "null"}}}
    assert said(schema, {"b": 1}) == ["$.b: must be null, not 1"]


def test_a_schema_that_is_itself_its_own_definition_ends_in_a_problem():
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert said(loop, 1) == ["$: is nested too deeply, or its schema refers to itself without end"]


@pytest.mark.parametrize(
    ("openapi", "schema"),
    [
        ({}, {}),
        (None, {}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"nullable": True}, {}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "string", "enum": [None], "nullable": True},
            {"type": ["string", "null"], "enum": [None]},
        ),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"exclusiveMaximum": True}, {}),
        ({"exclusiveMaximum": 5}, {"exclusiveMaximum": 5}),
        (
            {"properties": {"nullable": {"type": "object", "nullable": True}}},
            {"properties": {"nullable": {"type": ["object", "null"]}}},
        ),
        (
            {"allOf": [{"type": "string", "nullable": True}], "items": {"type": "string", "nullable": True}},
            {"allOf": [{"type": ["string", "null"]}], "items": {"type": ["string", "null"]}},
        ),
        (
            {"default": {"nullable": True}, "additionalProperties": False},
            {"default": {"nullable": True}, "additionalProperties": False},
        ),
    ],
)
def test_openapi_schemas_become_plain_ones(openapi, schema):
    assert plain({"openAPIV3Schema": openapi}) == schema


def test_a_plain_schema_stays_as_it_is():
    assert plain({"nullable": True}) == {"nullable": True}


@given(JSON)
def test_the_empty_schema_allows_everything(value):
    assert violations({}, value) == []
    assert violations({"openAPIV3Schema": {}}, value) == []


@given(JSON, st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"]))
def test_any_value_against_any_type_answers_in_short_lines(value, kind):
    for problem in violations({"type": kind, "sensitive": False}, value):
        assert len(problem.message) < 200


SENSITIVE: list[tuple[dict[str, Any], Any, list[tuple[Any, ...]]]] = [
    ({"sensitive": True}, "x", [()]),
    ({"properties": {"a": PASSWORD, "b": {}}}, {"a": "x", "b": "y"}, [("a",)]),
    ({"properties": {"a": PASSWORD}}, {}, []),
    ({"properties": {"a": PASSWORD}}, "no object", []),
    ({"patternProperties": {"^p": PASSWORD}}, {"pw": 1, "x": 1}, [("pw",)]),
    ({"properties": {"x": {}}, "additionalProperties": PASSWORD}, {"x": 1, "y": 1}, [("y",)]),
    ({"unevaluatedProperties": PASSWORD}, {"y": 1}, [("y",)]),
    ({"items": PASSWORD}, ["x", "y"], [(0,), (1,)]),
    ({"prefixItems": [{}, PASSWORD], "items": {}}, [1, 2, 3], [(1,)]),
    ({"prefixItems": [{}], "items": PASSWORD}, [1, 2], [(1,)]),
    ({"contains": PASSWORD}, [1], [(0,)]),
    ({"$schema": DRAFT_7, "items": [PASSWORD], "additionalItems": PASSWORD}, [1, 2], [(0,), (1,)]),
    ({"allOf": [{"properties": {"a": PASSWORD}}]}, {"a": 1}, [("a",)]),
    ({"oneOf": [{"properties": {"a": PASSWORD}}, {"properties": {"b": PASSWORD}}]}, {"a": 1, "b": 2}, [("a",), ("b",)]),
    ({"if": {}, "else": {"properties": {"a": PASSWORD}}}, {"a": 1}, [("a",)]),
    ({"dependentSchemas": {"b": {"properties": {"a": PASSWORD}}}}, {"a": 1}, [("a",)]),
    ({"$ref": "#/$defs/s", "$defs": {"s": {"items": {"$ref": "#/$defs/p"}}, "p": PASSWORD}}, ["x"], [(0,)]),
    ({"anyOf": [{"sensitive": True}, {"properties": {"a": PASSWORD}}]}, {"a": 1}, [()]),
    ({"openAPIV3Schema": {"properties": {"a": PASSWORD}}}, {"a": 1}, [("a",)]),
    ({"properties": {"a": {"properties": {"b": PASSWORD}}}}, {"a": {"b": 1, "c": 2}}, [("a", "b")]),
    ({"properties": {"a": {"$ref": "#"}, "p": PASSWORD}}, {"a": {"a": {"p": 1}}}, [("a", "a", "p")]),
    ({"allOf": [{"$ref": "#"}], "properties": {"p": PASSWORD}}, {"p": 1}, [("p",)]),
    ({"properties": {"a": True, "p": PASSWORD}}, {"a": 1, "p": 2}, [("p",)]),
]


@pytest.mark.parametrize(("schema", "value", "places"), SENSITIVE)
def test_sensitive_parts_are_found_wherever_a_schema_may_apply(schema, value, places):
    assert sensitive_paths(schema, value) == places


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pw": PASSWORD}},
        {"properties": {"pw": {"type": "integer", "sensitive": True}}},
        {"properties": {"pw": {"enum": ["a"], "sensitive": True}}},
        {"properties": {"pw": {"pattern": "^a", "sensitive": True}}},
        {"properties": {"pw": {"allOf": [{"sensitive": True}, {"const": 1}]}}},
        {"properties": {"pw": {"anyOf": [{"type": "integer"}, PASSWORD]}}},
        {"properties": {"pw": {"type": "object", "properties": {"value": PASSWORD}}}},
        {
            "properties": {"pw": {"$ref": "#/$defs/o"}},
            "$defs": {"o": {"type": "array", "items": {"$ref": "#/$defs/p"}}, "p": PASSWORD},
        },
        {"anyOf": [{"properties": {"pw": PASSWORD}}, {"type": "string"}]},
    ],
)
def test_no_part_of_a_sensitive_value_is_ever_shown(schema):
    problems = violations(schema, {"pw": "hunter2"})
    assert problems
    assert "hunter2" not in "".join(map(str, problems))
    assert "has 7" not in "".join(map(str, problems))


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pw": PASSWORD}, "required": ["pw"]},
        {"properties": {"pw": {"allOf": [{"sensitive": True}, {"type": "string"}]}}},
        {"oneOf": [{"properties": {"pw": PASSWORD}}, {"type": "string"}]},
        {"properties": {"pw": {"$ref": "#/$defs/p"}}, "$defs": {"p": PASSWORD}},
        {"openAPIV3Schema": {"properties": {"pw": PASSWORD}}},
    ],
)
def test_a_secret_by_reference_is_valid_where_a_sensitive_value_stands(schema):
    assert violations(schema, {"pw": {"$secret": "sec_1"}}) == []


def test_a_secret_by_reference_inside_an_array_of_sensitive_values_is_valid():
    assert violations({"items": PASSWORD}, [{"$secret": "sec_1"}, "long enough it is"]) == []


def test_a_secret_by_reference_elsewhere_is_an_object_like_any_other_unless_asked():
    schema = {"properties": {"host": {"type": "string"}}}
    assert said(schema, {"host": {"$secret": "sec_1"}}) == ["$.host: must be a string, not an object"]
    assert violations(schema, {"host": {"$secret": "sec_1"}}, any_secret=True) == []


@pytest.mark.parametrize(
    ("schema", "segments", "first"),
    [
        ({}, ["a"], None),
        ({"properties": {"a": {}}}, ["a"], None),
        ({"properties": {"a": {}}}, ["b"], 0),
        ({"properties": {}}, ["a"], 0),
        ({"properties": {"a": {}}, "additionalProperties": False}, ["b"], 0),
        ({"additionalProperties": False}, ["b"], 0),
        ({"properties": {"a": {}}, "additionalProperties": True}, ["b"], None),
        ({"properties": {"a": {}}, "additionalProperties": {"properties": {"x": {}}}}, ["b", "y"], 1),
        ({"properties": {"a": {}}, "patternProperties": {"^b": {}}}, ["bb"], None),
        ({"properties": {"a": {"properties": {"b": {}}}}}, ["a", "c"], 1),
        ({"properties": {"a": {"type": "string"}}}, ["a", "c"], 1),
        ({"properties": {"a": {"type": ["object", "null"]}}}, ["a", "c"], None),
        ({"properties": {"a": {"type": "array", "items": {"properties": {"b": {}}}}}}, ["a", "0", "b"], None),
        ({"properties": {"a": {"type": "array", "items": {"properties": {"b": {}}}}}}, ["a", "0", "c"], 2),
        ({"properties": {"a": {"type": "array"}}}, ["a", "0", "c"], None),
        ({"properties": {"a": {"type": "array"}}}, ["a", "b"], 1),
        ({"properties": {"a": {"prefixItems": [{"type": "string"}]}}}, ["a", "0", "b"], 2),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {}}}}}, ["y"], 0),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, ["b"], None),
        ({"allOf": [{"properties": {"a": {}}}, {}]}, ["b"], 0),
        ({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, ["c"], 0),
        ({"anyOf": [{"properties": {"a": {}}}, {}]}, ["c"], None),
        ({"oneOf": [{"properties": {"a": {"properties": {"x": {}}}}}, {"properties": {"b": {}}}]}, ["a", "y"], 1),
        ({"allOf": [{"$ref": "#"}], "properties": {"a": {}}}, ["b"], 0),
        ({"properties": {"a": True}}, ["a", "b"], None),
        ({"openAPIV3Schema": {"properties": {"a": {}}}}, ["b"], 0),
    ],
)
def test_a_schema_excludes_what_it_leaves_no_room_for(schema, segments, first):
    assert first_excluded(schema, segments) == first


def test_listed_names_come_from_everywhere():
    schema = {"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}, True], "$ref": "#/$defs/c"}
    schema["$defs"] = {"c": {"properties": {"c": {}}}}
    assert listed_names(schema) == ["a", "b", "c"]
    assert verdict_on(schema, "c") is Verdict.ADMITTED
    assert listed_names({"properties": {"a": {}}, "allOf": [{"$ref": "#"}]}) == ["a"]


def test_json_paths_quote_what_is_no_plain_word():
    assert json_path(("a", 0, 'b"\\.c', "$x-1")) == '$.a[0]["b\\"\\\\.c"].$x-1'


def test_schemas_do_not_depend_on_the_order_of_their_keys():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    turned = json.loads(json.dumps(dict(reversed(schema.items()))))
    assert violations(schema, {"a": 1}) == violations(turned, {"a": 1})
