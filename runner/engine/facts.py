"""What happened: the entries of an orchestration's log.

A fact is a decision already taken, so folding needs no policy: a later version that decides differently still folds
old logs to the same state. `runner.engine.folding` is that fold.
"""

from typing import Any

import msgspec

from runner.engine.state import OrchestrationState


class Fact(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, tag_field="fact"):
    """The root of all facts."""


class Created(Fact, frozen=True, kw_only=True, tag="created"):
    """The manifest was taken."""

    oid: str
    type: str
    bundle: str
    correlation_id: str = ""
    input: dict[str, Any] = {}
    priority: int = 0
    only: list[str] = []
    by: str = ""


class Started(Fact, frozen=True, kw_only=True, tag="started"):
    """The orchestration runs."""


class TierStarted(Fact, frozen=True, kw_only=True, tag="tier"):
    """A tier begins with so many activities."""

    index: int
    size: int


class Dispatched(Fact, frozen=True, kw_only=True, tag="dispatched"):
    """A task is to be in the queue. ``cause`` says why again: retry, schedule, lost."""

    activity: str
    attempt: int = 1
    lease: int = 1
    polls: int = 0
    cause: str = ""


class Claimed(Fact, frozen=True, kw_only=True, tag="claimed"):
    """An agent took the task over from one that went silent."""

    activity: str
    lease: int
    delivery: int
    agent: str = ""


class Reported(Fact, frozen=True, kw_only=True):
    """What an accepted report brought, whichever result it was."""

    activity: str
    agent: str = ""
    delivery: int = 1
    started_millis: int = 0
    set: dict[str, Any] = {}
    deleted: list[str] = []
    outputs: dict[str, Any] = {}
    existing: bool = False
    heartbeat: Any = None


class Completed(Reported, frozen=True, kw_only=True, tag="completed"):
    """The activity is done; its changes enter the shared context."""


class Waiting(Reported, frozen=True, kw_only=True, tag="waiting"):
    """The activity waits for its completion from outside, until ``due_millis`` (0: for ever)."""

    due_millis: int = 0


class Scheduled(Reported, frozen=True, kw_only=True, tag="scheduled"):
    """The activity is delivered again at ``due_millis``."""

    due_millis: int


class Retrying(Reported, frozen=True, kw_only=True, tag="retrying"):
    """A passing error; the next attempt is dispatched at ``due_millis``."""

    error: str
    due_millis: int


class Failed(Reported, frozen=True, kw_only=True, tag="failed"):
    """A fatal error."""

    error: str


class StopRequested(Fact, frozen=True, kw_only=True, tag="stopping"):
    """The agent that runs the activity is told to stop, and abandoned at ``due_millis``."""

    activity: str
    due_millis: int


class ActivityCancelled(Fact, frozen=True, kw_only=True, tag="activityCancelled"):
    """The activity ended without completing. ``abandoned``: its agent did not answer in time."""

    activity: str
    agent: str = ""
    error: str = ""
    abandoned: bool = False


class CompletedEarly(Fact, frozen=True, kw_only=True, tag="completedEarly"):
    """A completion from outside came before the activity's Wait; it is kept for that."""

    activity: str
    completion: dict[str, Any]


class DataGiven(Fact, frozen=True, kw_only=True, tag="dataGiven"):
    """Somebody outside gave a waiting activity data; it goes on waiting."""

    activity: str
    by: str = ""
    set: dict[str, Any] = {}
    outputs: dict[str, Any] = {}


class CompletionRefused(Fact, frozen=True, kw_only=True, tag="completionRefused"):
    """A completion from outside could not be taken."""

    activity: str
    reason: str
    by: str = ""


class CompensationStarted(Fact, frozen=True, kw_only=True, tag="compensating"):
    """After a fatal error: what had started is undone from here on."""


class Skipped(Fact, frozen=True, kw_only=True, tag="skipped"):
    """An activity of the compensation is not tried."""

    activity: str
    error: str


class Retried(Fact, frozen=True, kw_only=True, tag="retried"):
    """A new generation begins; the activities named in ``rerun``, and those that had not completed, run again."""

    generation: int
    rerun: list[str] = []
    by: str = ""
    reason: str = ""


class Paused(Fact, frozen=True, kw_only=True, tag="paused"):
    """Nothing new starts until it is resumed."""

    by: str = ""
    reason: str = ""


class Resumed(Fact, frozen=True, kw_only=True, tag="resumed"):
    """The reverse."""

    by: str = ""


class CancelRequested(Fact, frozen=True, kw_only=True, tag="cancelling"):
    """Somebody cancelled the orchestration."""

    by: str = ""
    reason: str = ""


class Ignored(Fact, frozen=True, kw_only=True, tag="ignored"):
    """A report without the live lease: recorded, changes nothing."""

    activity: str
    agent: str = ""
    attempt: int = 0
    lease: int = 0
    delivery: int = 0
    result: int = 0


class Warned(Fact, frozen=True, kw_only=True, tag="warned"):
    """Something a user should know."""

    text: str


class Ended(Fact, frozen=True, kw_only=True, tag="ended"):
    """A terminal state is reached."""

    state: OrchestrationState
    error: str = ""
    output: dict[str, Any] = {}
    undone: list[str] = []
    not_undone: dict[str, str] = {}


AnyFact = (
    Created
    | Started
    | TierStarted
    | Dispatched
    | Claimed
    | Completed
    | Waiting
    | Scheduled
    | Retrying
    | Failed
    | StopRequested
    | ActivityCancelled
    | CompletedEarly
    | DataGiven
    | CompletionRefused
    | CompensationStarted
    | Skipped
    | Retried
    | Paused
    | Resumed
    | CancelRequested
    | Ignored
    | Warned
    | Ended
)
