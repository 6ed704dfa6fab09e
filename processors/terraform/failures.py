"""What became of a command that did not succeed: passing, or for good."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from processors.terraform.diagnostics import describe
from processors.terraform.driver import Outcome
from runner.errors import Fatal, Retry, TierformError, Unreachable

# Matched against summary and detail of each error. Extended by the agent's setting `transient_errors`.
TRANSIENT = (
    r"\bthrottl", r"rate.?limit", r"rate exceeded", r"too many requests", r"request limit exceeded", r"slow ?down",
    r"connection (?:was )?(?:reset|refused|closed)", r"connection timed out", r"broken pipe", r"unexpected EOF",
    r"i/o timeout", r"tls handshake timeout", r"context deadline exceeded", r"timeout (?:while|awaiting|waiting)",
    r"temporary failure in name resolution", r"no such host", r"network is unreachable",
    r"\b(?:status ?(?:code)?|http(?: response)?|error)[ :=]+5\d\d\b", r"\b50[0234] (?:internal|bad|service|gateway)",
    r"internal server error", r"service unavailable", r"bad gateway", r"gateway timeout",
    r"error acquiring the state lock", r"saved plan is stale", r"text file busy", r"no space left on device",
    r"operation ?aborted.*conflict", r"concurrent ?modification",
)  # fmt: skip

_LOCK_FIELD = re.compile(r"^\s*(ID|Path|Operation|Who|Version|Created):\s*(.*?)\s*$", re.MULTILINE)
_TEXT_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class StateLock:
    """Who holds a state lock, as Terraform reports it.

    Attributes:
        id: What ``force-unlock`` needs.
        operation: ``OperationTypeApply`` and the like.
        who: ``user@host``.
        created: When, as Terraform wrote it.
        path: Which state.
    """

    id: str
    operation: str
    who: str
    created: str
    path: str


def state_lock(outcome: Outcome) -> StateLock | None:
    """The lock that kept a command from running; None when it failed of something else."""
    for each in outcome.errors:
        if "state lock" in each.summary.lower():
            found = dict(_LOCK_FIELD.findall(each.detail))
            if found.get("ID"):
                return StateLock(
                    found["ID"],
                    found.get("Operation", ""),
                    found.get("Who", ""),
                    found.get("Created", ""),
                    found.get("Path", ""),
                )
    return None


def failure(outcome: Outcome, doing: str, *, extra: Iterable[str] = (), told: str = "") -> TierformError:
    """The error that a failed command amounts to.

    Args:
        outcome: How it ended.
        doing: What was being done, with the workspace's name.
        extra: More patterns of passing errors.
        told: What was made and what was not, for a broken apply.
    """
    told = f"\n{told}" if told else ""
    if outcome.died:
        return Unreachable(
            f"{doing}: terraform was killed (exit code {outcome.exit_code}) and may not have saved its state{told}",
            remedy="the next attempt plans afresh; look for resources that exist but are not in the state",
        )
    text = describe(outcome.diagnostics) or _plain(outcome)
    if outcome.errors and is_transient(outcome, extra):
        return Retry(f"{doing}: a passing error\n{text}{told}")
    return Fatal(f"{doing}: terraform refused (exit code {outcome.exit_code})\n{text}{told}")


def is_transient(outcome: Outcome, extra: Iterable[str] = ()) -> bool:
    """Whether every error of it is known to be passing."""
    pattern = re.compile("|".join((*TRANSIENT, *extra)), re.IGNORECASE)
    return bool(outcome.errors) and all(pattern.search(f"{each.summary}\n{each.detail}") for each in outcome.errors)


def _plain(outcome: Outcome) -> str:
    text = "\n".join(part.strip() for part in (outcome.stderr, outcome.stdout) if part.strip())
    return text[:_TEXT_CHARACTERS] or "it gave no reason"
