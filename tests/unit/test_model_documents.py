import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidUsage
from runner.model.canonical import canonical_bytes, digest
from runner.model.documents import Places, parse_json, parse_yaml, read
from runner.model.malformed import Malformed

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=20
)
PRINTABLE = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\ufeff"), min_size=1
)


def fault(read_text, text):
    with pytest.raises(InvalidUsage) as caught:
        read_text(text, "file")
    (problem,) = caught.value.problems
    assert problem.source == "file"
    return problem.message, problem.line, problem.column


@given(JSON)
def test_json_reads_back(value):
    assert parse_json(json.dumps(value)) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | PRINTABLE, lambda v: st.lists(v) | st.dictionaries(PRINTABLE, v)
    )
)
def test_json_is_yaml(value):
    assert parse_yaml(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: [x, ~, null, True, false]", {"a": 1, "b": ["x", None, None, True, False]}),
        (
            "country: NO\nwhen: 2026-07-24\nat: 12:30\nsay: yes",
            {"country": "NO", "when": "2026-07-24", "at": "12:30", "say": "yes"},
        ),
        ("[1.5, -2, +3, .5, 1e3, 0x1F, 0o17, 1_000]", [1.5, -2, 3, 0.5, 1000.0, 31, 15, "1_000"]),
        ("['1', \"2\", !!str 3, ! 4]", ["1", "2", "3", "4"]),
        ("[!!int 3, !!float 3, !!bool true, !!null ~]", [3, 3, True, None]),
        ("1: a\nnull: b\ntrue: c", {"1": "a", "null": "b", "true": "c"}),
        ("a: &x {p: 1}\nb: *x\nc: &n 5\nd: *n", {"a": {"p": 1}, "b": {"p": 1}, "c": 5, "d": 5}),
        ("a: &x {p: 1, q: 1}\nb: {<<: *x, p: 2}", {"a": {"p": 1, "q": 1}, "b": {"p": 2, "q": 1}}),
        (
            "x: &x {p: 1}\ny: &y {p: 2, q: 2}\nb: {<<: [*x, *y]}",
            {"x": {"p": 1}, "y": {"p": 2, "q": 2}, "b": {"p": 1, "q": 2}},
        ),
        ("text: |\n  a\n  b\n", {"text": "a\nb\n"}),
        ("--- !!map\na: !!seq []", {"a": []}),
    ],
)
def test_yaml_means_what_it_shows(text, value):
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a: b: c", "mapping values are not allowed in this context", 1, 5),
        ("a: 1\na: 2", "the key 'a' stands twice in one object", 2, 1),
        ("a: {<<: {}, <<: {}}", "the key '<<' stands twice in one object", 1, 13),
        ("a: 1\n---\nb: 2", "there is a second document ('---'); a file holds one", 2, 1),
        ("a: !!python/object:os.system x", "the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed", 1, 4),
        ("a: !mine [x]", "the tag '!mine' is not allowed", 1, 4),
        ("a: !!timestamp 2026-01-01", "the tag 'tag:yaml.org,2002:timestamp' is not allowed", 1, 4),
        ("a: !!int x", "'x' is no int", 1, 4),
        ("a: .inf", "JSON has no number '.inf'; put it in quotes if it is text", 1, 4),
        ("a: -.Inf", "JSON has no number '-.Inf'; put it in quotes if it is text", 1, 4),
        ("a: .nan", "JSON has no number '.nan'; put it in quotes if it is text", 1, 4),
        ("a: &a [*a]", "the alias '*a' names nothing that is complete before it", 1, 8),
        ("a: &a {<<: *a}", "the alias '*a' names nothing that is complete before it", 1, 12),
        ("? [a]\n: b", "a key must be plain text, not a mapping or a sequence", 1, 3),
        ("a: &x 1\n*x : 2", "a key must be plain text, not an alias", 2, 1),
        ("a: {<<: 5}", "'<<' must name a mapping, or a sequence of mappings", 1, 10),
        ("[" * 500, "it is nested more than 100 levels deep", 1, 101),
    ],
)
def test_yaml_faults_have_their_place(text, message, line, column):
    assert fault(parse_yaml, text) == (message, line, column)


def test_a_control_character_is_refused():
    assert "control characters are not allowed" in fault(parse_yaml, "a: \x00")[0]


def test_text_that_ends_in_the_middle_of_yaml_has_a_place():
    assert fault(parse_yaml, "{a: [1")[1] > 0


@pytest.mark.parametrize("item", ["x", "{p: 1}"])
def test_a_billion_laughs_are_refused(item):
    text = f"a0: &a0 [{item}]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
    assert fault(parse_yaml, text)[0] == "it expands to more than 500000 values"


def test_merge_keys_cannot_grow_without_bounds():
    text = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: 1}}\n" for i in range(1, 30)
    )
    assert fault(parse_yaml, text)[0] == "it expands to more than 500000 values"


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ('{"a":\n}', "expecting value", 2, 1),
        ('{"a": 1} x', "extra data", 1, 10),
        ('{"a": 1,\n\t"a": 2}', "the key 'a' stands twice in one object", 2, 2),
        ('{"NaN": "\\"NaN",\n "b": NaN}', "JSON has no number 'NaN'", 2, 7),
        ("-Infinity", "JSON has no number '-Infinity'", 1, 1),
        ("\n" + "1" * 5000, "a number has too many digits", 2, 1),
        ("[" * 100_000, "it is nested more than 100 levels deep", 1, 101),
        ("[" * 150 + "]" * 150, "it is nested more than 100 levels deep", 1, 101),
        ('{"' + "k" * 2000 + '": {"a": 1, "a": 2}}', "the key 'a' stands twice in one object", 0, 0),
    ],
)
def test_json_faults_have_their_place_where_one_is_known(text, message, line, column):
    assert fault(parse_json, text) == (message, line, column)


def test_text_without_a_suffix_is_what_it_looks_like():
    assert read('{"a": 1}') == {"a": 1}
    assert read("a: 1") == {"a": 1}
    assert read("{a: 1}") == {"a": 1}
    with pytest.raises(Malformed, match="expecting ',' delimiter"):
        read('{"a": [1 2]}')
    with pytest.raises(Malformed, match="mapping values"):
        read("a: b: c")


def test_a_suffix_decides_the_language():
    assert read("a: 1", ".yml") == {"a": 1}
    with pytest.raises(Malformed):
        read("a: 1", ".json")


def test_places_are_those_of_values_or_of_what_is_around_them():
    places = Places('{"a": [1,\n\t{"b": 2}]}')
    assert places.locate(("a", 1, "b")) == (2, 8)
    assert places.locate(("a", 1, "nope", 0)) == (2, 2)
    assert places.locate(()) == (1, 1)


def test_places_in_text_that_is_no_yaml_are_unknown():
    assert Places("a: b: c").locate(("a",)) == (0, 0)


@given(JSON)
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(value):
    turned = dict.fromkeys(reversed("abc"), value)
    assert canonical_bytes(turned) == canonical_bytes(dict.fromkeys("abc", value))
    assert parse_json(canonical_bytes(value).decode()) == value


def test_canonical_json_has_no_infinite_numbers():
    with pytest.raises(ValueError, match="JSON"):
        canonical_bytes(float("inf"))


def test_a_digest_is_named_by_its_algorithm():
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
