"""The state of one orchestration: what its log folds to.

All structs are frozen; a transition makes new ones and shares what did not change. JSON (a snapshot) is the same
structs encoded, members in camelCase.
"""

from enum import IntEnum, StrEnum
from typing import Any

import msgspec


class OrchestrationState(IntEnum):
    """States on the wire. Source: the reference system's integers; 4 to 6 are this project's."""

    INITIALIZED = 0
    RUNNING = 1
    COMPLETED = 2
    ERRORED = 3
    CANCELLED = 4
    COMPENSATING = 5
    COMPENSATED = 6


TERMINAL = frozenset(
    {
        OrchestrationState.COMPLETED,
        OrchestrationState.ERRORED,
        OrchestrationState.CANCELLED,
        OrchestrationState.COMPENSATED,
    }
)


class Status(StrEnum):
    """Where an activity stands. One that was not dispatched yet is pending and has no state at all.

    =========  =============================================  =====================================
    status     what keeps it moving                           what comes next
    =========  =============================================  =====================================
    queued     its task in a queue, or an agent's lease       any below
    waiting    a completion token, perhaps ``due``            completed, failed
    scheduled  ``due``                                        queued with the next lease
    retrying   ``due``                                        queued with the next attempt and lease
    stopping   the agent told to stop, ``due`` at the latest  cancelled, completed
    completed  nothing                                        nothing: absorbing
    failed     nothing                                        nothing: absorbing
    cancelled  nothing                                        nothing: absorbing
    =========  =============================================  =====================================
    """

    QUEUED = "queued"
    WAITING = "waiting"
    SCHEDULED = "scheduled"
    RETRYING = "retrying"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class _State(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    pass


class ActivityState(_State, frozen=True, kw_only=True):
    """One activity.

    Attributes:
        attempt: From 1; grows after RetryError only.
        lease: From 1; grows with every dispatch. A report with another lease is stale.
        delivery: The highest delivery known for the lease. A report of a lower one is stale.
        claims: How often an agent took the lease over from one that went silent.
        polls: Schedule results of this attempt.
        due_millis: When the timer of a waiting, scheduled, retrying or stopping activity fires; 0 for never.
        set: Context keys it set, staged until it completes.
        deleted: Context keys it deleted, likewise.
        outputs: Its outputs, staged likewise.
        error: The last error, kept over retries.
        agent: Who reported last.
        existing: What it deploys was there before: compensation leaves it alone.
        heartbeat: Details of its last sign of life.
        early: A completion from outside that came before its Wait did.
    """

    status: Status
    attempt: int = 1
    lease: int = 1
    delivery: int = 1
    claims: int = 0
    polls: int = 0
    due_millis: int = 0
    set: dict[str, Any] = {}
    deleted: list[str] = []
    outputs: dict[str, Any] = {}
    error: str = ""
    agent: str = ""
    existing: bool = False
    heartbeat: Any = None
    early: dict[str, Any] | None = None
    dispatched_millis: int = 0
    started_millis: int = 0
    ended_millis: int = 0


class Orchestration(_State, frozen=True, kw_only=True):
    """One orchestration in one generation.

    Attributes:
        bundle: Digest of the definition it runs, fixed at its start.
        input: The definition's input with the manifest's payload laid over it; never changes.
        values: The shared context: starts as ``input``, then changes key by key.
        writers: Which activity wrote a context key last.
        activities: Those that were dispatched at least once.
        tier: Index of the running tier; -1 before the first.
        open: Activities of the running tier(s) that have not completed.
        error: Why it fails, from the first fatal error on.
        cancelled_by: Who cancelled it, from then on.
        paused: Nothing new starts until it is resumed.
        undone: Activities that compensation undid.
        not_undone: Those it could not, and why; by the undone activity's own id, as ``undone``.
        warnings: Texts for the user.
    """

    oid: str
    type: str
    bundle: str
    generation: int = 1
    correlation_id: str = ""
    state: OrchestrationState = OrchestrationState.INITIALIZED
    created_millis: int = 0
    state_millis: int = 0
    priority: int = 0
    only: list[str] = []
    by: str = ""
    input: dict[str, Any] = {}
    values: dict[str, Any] = {}
    writers: dict[str, str] = {}
    activities: dict[str, ActivityState] = {}
    tier: int = -1
    open: int = 0
    error: str = ""
    failed_activity: str = ""
    cancelled_by: str = ""
    cancel_reason: str = ""
    cancelling: bool = False
    paused: bool = False
    undone: list[str] = []
    not_undone: dict[str, str] = {}
    warnings: list[str] = []
    output: dict[str, Any] = {}

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will ever happen to this generation again."""
        return self.state in TERMINAL

    @property
    def is_stopping(self) -> bool:
        """Whether nothing new may start: a fatal error or a cancellation stands."""
        return self.cancelling or bool(self.failed_activity)


UNDO = "undo."
"""Begins the name of an activity that compensates; an activity's id has no dot."""


def is_undo(name: str) -> bool:
    """Whether the activity belongs to the compensation."""
    return name.startswith(UNDO)


def live(orchestration: Orchestration) -> list[tuple[str, ActivityState]]:
    """The activities that have been dispatched and have not ended."""
    return [(name, activity) for name, activity in orchestration.activities.items() if activity.status not in ENDED]
