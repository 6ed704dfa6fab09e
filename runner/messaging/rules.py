"""Rules of the contract that every backend checks in the same way before it does anything."""

import re
from functools import lru_cache

from runner.errors import InvalidUsage

_KEY = re.compile(r"[A-Za-z0-9\-_.=]+(/[A-Za-z0-9\-_.=]+)*\Z")
ARCHIVE = "done"
"""The log of which the newest entry of each subject alone is kept."""

LOGS = ("run", "response", "dead", ARCHIVE)
"""The second token of every subject of a log."""

_QUEUES = ("event", "task")


def check_key(key: str) -> None:
    """Raise InvalidUsage unless it is ``/``-separated segments of letters, digits and ``-_.=``."""
    if not _KEY.match(key):
        detail = f"the document key {key[:80]!r} is not made of /-separated segments of letters, digits and -_.="
        raise InvalidUsage(detail)


@lru_cache(maxsize=16)
def _below(prefix: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{prefix}.{kind}." for kind in kinds)


def check_log_subject(prefix: str, subject: str) -> None:
    """Raise InvalidUsage unless it is a subject of a log: ``<prefix>.run.…`` or another of `LOGS`."""
    if not subject.startswith(_below(prefix, LOGS)):
        raise InvalidUsage(f"the subject {subject[:80]!r} belongs to no log of the prefix {prefix!r}")


def queue_of(prefix: str, subject: str) -> str:
    """Which queue a subject or filter belongs to: ``event`` or ``task``; raises InvalidUsage for any other."""
    for kind, start in zip(_QUEUES, _below(prefix, _QUEUES), strict=True):
        if subject.startswith(start):
            return kind
    raise InvalidUsage(f"the subject {subject[:80]!r} belongs to no queue of the prefix {prefix!r}")


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject fits a pattern: ``*`` stands for one token, ``>`` at the end for one or more."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Whether some subject fits both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)
