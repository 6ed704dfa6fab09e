import math

import pytest

from processors.terraform.literals import assignments, to_hcl


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (1.5, "1.5"),
        ('say "hi"\n', '"say \\"hi\\"\\n"'),
        ('${file("x")}', '"\\u0024{file(\\"x\\")}"'),
        ("$${a} %%{b}", '"$\\u0024{a} %\\u0025{b}"'),
        ("cost: 5$", '"cost: 5$"'),
        ("\x00\x7f", '"\\u0000\\u007f"'),
        ([1, "a"], '[1, "a"]'),
        ({"a b": {"c": None}}, '{"a b" = {"c" = null}}'),
    ],
)
def test_every_json_value_has_a_literal(value, literal):
    assert to_hcl(value) == literal


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_json_cannot_say_has_none(value):
    with pytest.raises(ValueError, match="no HCL literal"):
        to_hcl(value)


def test_assignments_are_one_line_each():
    assert assignments({"a": 1, "b": "x\ny"}) == b'a = 1\nb = "x\\ny"\n'
