import io
import os

import pytest

from runner.errors import InvalidDefinition, InvalidUsage
from runner.model.loading import MOST_BYTES, load_definitions, load_inputs, load_lines, parse_assignment


def usage(call, *arguments):
    with pytest.raises(InvalidUsage) as caught:
        call(*arguments)
    return caught.value


def problems(*paths):
    with pytest.raises(InvalidDefinition) as caught:
        load_definitions(*paths).check()
    return caught.value.problems


def test_a_folder_is_read_at_any_depth_in_order(tmp_path):
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "b.json").write_text('{"type": "b"}')
    (tmp_path / "deep" / "a.yaml").write_text("- type: c\n- {type: o, activities: []}\n")
    (tmp_path / "deep" / "deeper" / "z.YML").write_text("type: z")
    found = load_definitions(tmp_path)
    found.check()
    assert set(found.activities) == {"b", "c", "z"}
    assert set(found.orchestrations) == {"o"}
    assert [entry.definition.type for entry in found.entries] == ["b", "c", "o", "z"]


def test_other_files_and_hidden_ones_are_passed_over(tmp_path):
    (tmp_path / "..data").mkdir()
    for name in ("a.txt", ".a.json", "..data/a.json"):
        (tmp_path / name).write_text("{")
    assert load_definitions(tmp_path).entries == ()


def test_a_named_file_is_read_whatever_it_is_called_and_once(tmp_path):
    file = tmp_path / "definition.txt"
    file.write_text("type: a")
    (tmp_path / "b.json").write_text('{"type": "b"}')
    found = load_definitions(file, str(file), tmp_path / "b.json", tmp_path)
    found.check()
    assert set(found.activities) == {"a", "b"}


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    assert "there is no file or folder" in usage(load_definitions, tmp_path / "nope").detail


def test_every_malformed_file_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"type":\n "a" "b"}')
    (tmp_path / "b.yaml").write_text("a: b: c")
    (tmp_path / "c.json").write_bytes(b'{\n"type": "\xff"}')
    (tmp_path / "d.json").write_bytes(b" " * (MOST_BYTES + 1))
    (tmp_path / "e.json").symlink_to("nowhere")
    (tmp_path / "f.yaml").write_text("")
    (tmp_path / "g.json").write_bytes(b"\xef\xbb\xbf[]")
    found = [(problem.source[-6:], problem.line, problem.column, problem.message) for problem in problems(tmp_path)]
    messages = [message for _, _, _, message in found]
    assert [place[:3] for place in found] == [
        ("a.json", 2, 6),
        ("b.yaml", 1, 5),
        ("c.json", 2, 10),
        ("d.json", 0, 0),
        ("e.json", 0, 0),
        ("f.yaml", 0, 0),
    ]
    assert messages[2:4] == ["it is not UTF-8", "it is longer than 8 MiB"]
    assert messages[4].endswith("no such file or directory")
    assert messages[5] == "is no definition"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "a.json").touch(mode=0o000)
    assert "permission denied" in problems(tmp_path)[0].message


@pytest.mark.parametrize(
    ("name", "text"), [("i.json", '{"a": 1}'), ("i.yaml", "a: 1"), ("i", "a: 1"), ("i", '{"a": 1}')]
)
def test_inputs_come_from_json_or_yaml(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert load_inputs(str(tmp_path / name)) == {"a": 1}
    assert load_inputs("-", io.BytesIO(text.encode())) == {"a": 1}


def test_inputs_come_from_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a: 1")))
    assert load_inputs("-") == {"a": 1}


def test_malformed_inputs_are_refused_with_their_place(tmp_path):
    file = tmp_path / "i.json"
    file.write_text('{"a":\n1,}')
    assert str(usage(load_inputs, str(file)).problems[0]).startswith(f"{file}:2:")
    assert str(usage(load_inputs, "-", io.BytesIO(b'{"a": 1} x')).problems[0]).startswith("<stdin>:1:10: extra data")
    assert "no such file" in usage(load_inputs, str(tmp_path / "nope")).detail


@pytest.mark.parametrize("text", ["", "[1]", "5", "null"])
def test_inputs_are_an_object(text):
    error = usage(load_inputs, "-", io.BytesIO(text.encode()))
    assert error.problems[0].message == "must be an object of inputs"
    assert error.remedy


def test_lines_have_their_numbers_and_blank_ones_are_passed_over(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text('{"a": 1}\n\n  \n{"a": 2}')
    assert load_lines(file) == [(1, {"a": 1}), (4, {"a": 2})]


def test_every_malformed_line_is_named(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_bytes(b'{"a": 1}\n{"a" 1}\n[]\n\n{"a": "\xff"}\n{"a": 1, "a": 2}\n')
    error = usage(load_lines, file)
    assert [(problem.line, problem.column, problem.source) for problem in error.problems] == [
        (2, 6, str(file)),
        (3, 1, str(file)),
        (5, 8, str(file)),
        (6, 10, str(file)),
    ]


def test_a_line_that_is_too_long_is_named(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_bytes(b'{"a": "' + b"x" * MOST_BYTES + b'"}\n{}\n')
    assert usage(load_lines, file).problems[0].message == "it is longer than 8 MiB"


def test_a_file_of_lines_that_does_not_exist_is_refused(tmp_path):
    assert "no such file" in usage(load_lines, tmp_path / "nope").detail


SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "maybe": {"type": ["string", "null"]},
        "number": {"type": "number"},
        "count": {"type": "integer"},
        "flag": {"type": "boolean"},
        "list": {"type": "array"},
        "either": {"type": ["integer", "string"]},
        "choice": {"enum": ["1", "2"]},
        "fixed": {"const": "true"},
        "referred": {"$ref": "#/$defs/name"},
        "deep": {"allOf": [{"$ref": "#/$defs/outer"}]},
        "any": True,
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "allOf": [{"properties": {"inner": {"type": "string"}}}],
    "$defs": {"name": {"type": "string"}, "outer": {"$ref": "#/$defs/name"}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("text=007", "007"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=null", "null"),
        ("maybe=null", "null"),
        ("number=1.5", 1.5),
        ("number=2", 2),
        ("count=3", 3),
        ("count=3.0", 3.0),
        ("count=3.5", "3.5"),
        ("count=x", "x"),
        ("count=true", "true"),
        ("flag=true", True),
        ("flag=yes", "yes"),
        ("flag=1", "1"),
        ("list=[1, {}]", [1, {}]),
        ("list={}", "{}"),
        ("either=5", 5),
        ("either=five", "five"),
        ("either=[5]", "[5]"),
        ("choice=1", "1"),
        ("fixed=true", "true"),
        ("referred=1", "1"),
        ("deep=1", "1"),
        ("inner=1", "1"),
        ("x-y=1", "1"),
        ("any=1", 1),
        ("unknown=1", 1),
        ("unknown=null", None),
        ("unknown=one", "one"),
        ("unknown=NaN", "NaN"),
        ("unknown={", "{"),
        ('unknown={"a": [1]}', {"a": [1]}),
    ],
)
def test_an_assignment_is_read_by_the_schemas_type_else_as_json_else_as_text(text, value):
    key, read = parse_assignment(text, SCHEMA)
    assert key == text.partition("=")[0]
    assert (read, type(read)) == (value, type(value))


def test_an_assignment_is_read_by_a_wrapped_schema_too():
    assert parse_assignment("a=1", {"openAPIV3Schema": {"properties": {"a": {"type": "string"}}}}) == ("a", "1")
    assert parse_assignment("a=1", {}) == ("a", 1)


@pytest.mark.parametrize("text", ["hunter2", "=hunter2", ""])
def test_what_is_no_assignment_is_refused_without_repeating_it(text):
    assert "hunter2" not in str(usage(parse_assignment, text, {}))
