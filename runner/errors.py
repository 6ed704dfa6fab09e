"""Every error of Tierform, as one tree.

::

    TierformError                 code, detail, remedy; str() is the whole sentence a user reads
    ├── NeverRetry                the caller's mistake: the same call will fail again
    │   ├── InvalidDefinition     definitions that break a rule; carries all problems at once
    │   ├── InvalidInput          inputs that violate a schema; carries all problems at once
    │   ├── InvalidUsage          wrong options, a missing file, text that does not parse
    │   ├── UnknownThing          an orchestration, type, module, workspace that does not exist
    │   ├── Refused               a rule of the product forbids it (busy, inactive, other input for the same id)
    │   └── NewerData             a data folder or a message of a newer version
    ├── Retry                     passing: try again, after ``after`` if it is set
    │   ├── Unreachable           a server, a store or a disk did not answer or had no room
    │   └── Busy                  somebody holds what is needed
    └── Fatal                     an activity cannot succeed; its orchestration ends in error
        └── ProcessorFailed       a processor raised

The second level answers the only question the engine asks. ``code`` is stable and machine readable. A detail is lower
case, says what was being done, with which ids, what was wrong and what to do, and never holds a secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


class TierformError(Exception):
    """The root.

    Args:
        detail: What was being done, with which ids, and what was wrong.
        remedy: What to do about it, a sentence without a full stop; empty when the detail says it all.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, remedy: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.detail}\n  → {self.remedy}" if self.remedy else self.detail


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document.

    Attributes:
        source: Where the document came from: a file's name, ``<stdin>``, or empty.
        path: JSON path in that document, ``$.activities[1].dependsOn``; empty when the text itself is malformed.
        message: What is wrong.
        remedy: What to do; may be empty.
        line: 1-based, 0 when unknown.
        column: 1-based, 0 when unknown.
    """

    message: str
    path: str = ""
    source: str = ""
    remedy: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = self.source
        if self.line:
            place += f":{self.line}:{self.column}" if place else f"line {self.line}, column {self.column}"
        where = " ".join(part for part in (place, self.path) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n  → {self.remedy}" if self.remedy else text


class NeverRetry(TierformError):
    """The same call will fail again."""

    code = "never_retry"


class _WithProblems(NeverRetry):
    def __init__(self, detail: str, problems: Sequence[Problem] = (), *, remedy: str = "") -> None:
        super().__init__(detail, remedy=remedy)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [self.detail if not self.remedy else f"{self.detail}\n  → {self.remedy}"]
        lines += [f"- {problem}" for problem in self.problems]
        return "\n".join(lines)


class InvalidDefinition(_WithProblems):
    """Definitions break rules; ``problems`` lists all of them."""

    code = "invalid_definition"


class InvalidInput(_WithProblems):
    """Inputs violate a schema; ``problems`` lists all violations."""

    code = "invalid_input"


class InvalidUsage(_WithProblems):
    """A wrong option, a missing file, a text that does not parse."""

    code = "invalid_usage"


class UnknownThing(NeverRetry):
    """What was named does not exist."""

    code = "unknown"


class Refused(NeverRetry):
    """A rule of the product forbids it."""

    code = "refused"


class NewerData(NeverRetry):
    """Data was written by a newer version than this one can read."""

    code = "newer_data"


class Retry(TierformError):
    """Passing.

    Args:
        detail: As for the root.
        after: How long to wait before the next try; None leaves it to the caller's policy.
        remedy: As for the root.
    """

    code = "retry"

    def __init__(self, detail: str, *, after: timedelta | None = None, remedy: str = "") -> None:
        super().__init__(detail, remedy=remedy)
        self.after = after


class Unreachable(Retry):
    """A server, a store or a disk did not answer, or had no room."""

    code = "unreachable"


class Busy(Retry):
    """Somebody holds what is needed; the detail names the holder."""

    code = "busy"


class Fatal(TierformError):
    """An activity cannot succeed."""

    code = "fatal"


class ProcessorFailed(Fatal):
    """A processor raised instead of answering."""

    code = "processor_failed"
