"""What a processor answers."""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Self


class ResultType(IntEnum):
    """The five results, with the specification's integers.

    Source: The Orchestrator, "Activity Executors".
    """

    WAIT = 0
    COMPLETE = 1
    SCHEDULE = 2
    RETRY_ERROR = -1
    FATAL_ERROR = -2


@dataclass(frozen=True, slots=True)
class ActivityResult:
    """The answer of one ``process`` call.

    Attributes:
        type: Which of the five.
        delay: For SCHEDULE: how long until the next delivery, zero or more.
        error: For RETRY_ERROR and FATAL_ERROR: the text a user reads. No secrets: known values are masked anyway.
    """

    type: ResultType
    delay: timedelta = timedelta(0)
    error: str = ""

    @classmethod
    def wait(cls) -> Self:
        """The activity is completed from outside, by its completion token."""
        return cls(ResultType.WAIT)

    @classmethod
    def complete(cls) -> Self:
        """The activity is done; what it set becomes visible to later tiers."""
        return cls(ResultType.COMPLETE)

    @classmethod
    def schedule(cls, delay: timedelta) -> Self:
        """Deliver the activity again after ``delay`` (polling). Raises ValueError when it is negative."""
        if delay < timedelta(0):
            message = f"a schedule delay must not be negative, got {delay}"
            raise ValueError(message)
        return cls(ResultType.SCHEDULE, delay=delay)

    @classmethod
    def retry(cls, error: str | BaseException) -> Self:
        """A passing error: deliver again as the retry policy says."""
        return cls(ResultType.RETRY_ERROR, error=_text(error))

    @classmethod
    def fatal(cls, error: str | BaseException) -> Self:
        """The activity cannot succeed: the orchestration ends in error."""
        return cls(ResultType.FATAL_ERROR, error=_text(error))


def _text(error: str | BaseException) -> str:
    text = str(error)
    if text:
        return text
    return "unspecified error" if isinstance(error, str) else type(error).__name__
