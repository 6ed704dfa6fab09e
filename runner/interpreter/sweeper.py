"""Finds activities whose task nobody has: lost between the log and the queue by an engine that died.

The log says that a task was to be published; only the bus knows whether it was. An activity counts as lost when it has
been queued or stopping for a while, its type's consumer has neither pending nor unacknowledged messages, and no event
that might be its report waits for an engine; and all that twice in a row.

The figures say nothing of a task that one agent took over from another: an acknowledgement of the one that lost it, which
may come at any time, removes the message. So the agent that has it is asked, and what it says counts from then on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from runner.engine.state import Orchestration, Status
from runner.messaging.ports import ConsumerState

PATIENCE_MILLIS = 3_000


@dataclass(frozen=True, slots=True)
class Queued:
    """An activity that should have a task somewhere; ``since_millis`` is its dispatch or its last sign of life."""

    oid: str
    activity: str
    type: str
    lease: int
    since_millis: int


class Sweeper:
    """Keeps the queued and stopping activities of this engine's orchestrations, and tells which are lost.

    Args:
        task_state: The bus's figures of one activity type's consumer.
    """

    def __init__(self, task_state: Callable[[str], Awaitable[ConsumerState]]) -> None:
        self._task_state = task_state
        self._queued: dict[tuple[str, str], Queued] = {}
        self._by_oid: dict[str, set[str]] = {}
        self._told: set[str] = set()
        self._suspects: set[Queued] = set()

    def note(self, orchestration: Orchestration, types: Callable[[str], str]) -> None:
        """Take the orchestration's state; ``types`` gives an activity's type."""
        oid = orchestration.oid
        before = {name: self._queued[oid, name] for name in self._by_oid.get(oid, ())}
        self.forget(oid)
        if orchestration.is_terminal:
            return
        names: set[str] = set()
        for name, activity in orchestration.activities.items():
            if activity.status is Status.STOPPING or (activity.status is Status.QUEUED and activity.delivery > 1):
                self._told.add(oid)
            if activity.status in (Status.QUEUED, Status.STOPPING):
                names.add(name)
                queued = Queued(oid, name, types(name), activity.lease, activity.dispatched_millis)
                known = before.get(name)
                self._queued[oid, name] = known if known and known.lease == queued.lease else queued
        if names:
            self._by_oid[oid] = names

    def saw(self, oid: str, activity: str, now: int) -> None:
        """An agent that has the live lease of the activity said so."""
        queued = self._queued.get((oid, activity))
        if queued is not None:
            self._queued[oid, activity] = replace(queued, since_millis=now)

    def forget(self, oid: str) -> None:
        """Drop an orchestration."""
        self._told.discard(oid)
        for name in self._by_oid.pop(oid, ()):
            del self._queued[oid, name]

    def told(self) -> list[str]:
        """Orchestrations whose agents are to be told again: to stop, or that they lost a task to another one."""
        return list(self._told)

    async def lost(self, now: int) -> list[Queued]:
        """Activities found without a task in this sweep and in the one before."""
        old = [queued for queued in self._queued.values() if now - queued.since_millis >= PATIENCE_MILLIS]
        idle = set()
        for activity_type in sorted({queued.type for queued in old}):
            state = await self._task_state(activity_type)
            if not state.pending and not state.unacknowledged:
                idle.add(activity_type)
        suspects = {queued for queued in old if queued.type in idle}
        confirmed = suspects & self._suspects
        self._suspects = suspects - confirmed
        return sorted(confirmed, key=lambda queued: (queued.since_millis, queued.oid, queued.activity))
