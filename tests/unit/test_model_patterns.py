"""Patterns of JSON Schema."""

import pytest

from runner.model.schema import violations


@pytest.mark.parametrize(
    ("pattern", "value", "valid"),
    [
        ("^[a-z]+$", "acme", True),
        ("^[a-z]+$", "acme\n", False),
        (r"^a\$$", "a$", True),
        ("^[$]+$", "$$", True),
        (r"^[\]$]+$", "]$", True),
        ("^(a|b$)", "b\n", False),
        ("^[a-z]+$", 7, True),
    ],
)
def test_a_dollar_is_the_end_of_the_text(pattern, value, valid):
    assert (violations({"pattern": pattern}, value) == []) is valid
