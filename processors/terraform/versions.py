"""Version constraints as Terraform writes them: ``1.15.5``, ``~> 1.9``, ``>= 1.8, < 2.0, != 1.9.1``."""

import re

from runner.errors import Fatal

_TERM = re.compile(r"\s*(=|!=|>=|<=|>|<|~>)?\s*v?(\d+(?:\.\d+){0,2})(-[0-9A-Za-z.-]+)?\s*")

_Release = tuple[tuple[int, ...], str]


def satisfies(version: str, constraint: str) -> bool:
    """Whether ``version`` fits all comma-separated terms of ``constraint``.

    Raises:
        Fatal: One of them is malformed.
    """
    found, _ = _parse(version)
    return all(_fits(found, *_operator(term)) for term in constraint.split(","))


def _operator(term: str) -> tuple[str, _Release, int]:
    release, match = _parse(term)
    return match[1] or "=", release, match[2].count(".") + 1


def _parse(text: str) -> tuple[_Release, re.Match[str]]:
    match = _TERM.fullmatch(text)
    if match is None:
        raise Fatal(
            f"reading the version {text.strip()!r}: it is malformed",
            remedy="write an exact version or a constraint such as '~> 1.9' or '>= 1.8, < 2.0' in config.version",
        )
    numbers = tuple(int(number) for number in match[2].split("."))
    return (numbers + (0,) * (3 - len(numbers)), match[3] or ""), match


def _fits(version: _Release, operator: str, wanted: _Release, given: int) -> bool:
    left, right = _order(version), _order(wanted)
    if operator == "~>":
        # The last number given may grow: ~> 1.9 allows 1.10, ~> 1.9.0 allows 1.9.1.
        return left >= right and version[0][: given - 1] == wanted[0][: given - 1]
    return {
        "=": left == right,
        "!=": left != right,
        ">": left > right,
        "<": left < right,
        ">=": left >= right,
        "<=": left <= right,
    }[operator]


def _order(release: _Release) -> tuple[tuple[int, ...], bool, str]:
    # A release comes after all its prereleases.
    return release[0], not release[1], release[1]
