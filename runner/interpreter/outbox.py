"""Publishes what follows from facts, and derives it again from the state when an engine takes over."""

import asyncio
from collections.abc import Sequence

import msgspec

from runner.engine.effects import controls_of, dispatched, response_of, standing_controls, task_id, task_of
from runner.engine.facts import Fact
from runner.engine.plan import Plan
from runner.engine.state import Orchestration, OrchestrationState
from runner.messaging.large import Large
from runner.messaging.persistence import until_taken
from runner.messaging.ports import Messaging, SequenceConflict
from runner.protocol.messages import VERSION, Control, Live, ManifestEvent, Response, encode
from runner.protocol.subjects import Subjects

_HEAVY = ("input", "set", "outputs", "output", "completion")
"""Members of facts that watchers can do without."""


class Outbox:
    """Tasks, controls, responses and live events.

    Args:
        messaging: The bus.
        subjects: Names.
        secret: Opens completion tokens.
    """

    def __init__(self, messaging: Messaging, subjects: Subjects, secret: bytes) -> None:
        self._messaging = messaging
        self._subjects = subjects
        self._secret = secret
        self._large = Large(messaging)

    async def publish(self, plan: Plan, orchestration: Orchestration, facts: Sequence[Fact], now: int) -> None:
        """Everything that follows from ``facts``; returns once tasks and response are durable.

        Raises:
            runner.errors.NeverRetry: A task is larger than the bus takes.
        """
        await self._announce(orchestration, facts, now)
        names = dispatched(facts)
        if len(names) == 1:
            await self.dispatch(plan, orchestration, names[0])
        elif names:
            await asyncio.gather(*(self.dispatch(plan, orchestration, name) for name in names))
        for control in controls_of(facts, orchestration):
            await self._control(orchestration, control)
        if orchestration.is_terminal:
            await self.respond(orchestration)

    async def dispatch(self, plan: Plan, orchestration: Orchestration, name: str) -> None:
        """Put the task of the activity's current lease into its queue; safe to repeat."""
        task = task_of(plan, orchestration, name, self._secret)
        message_id = task_id(orchestration, name)
        subject = self._subjects.task(task.type)
        doing = f"dispatching activity '{name}' of orchestration '{orchestration.oid}'"
        await self._publish(subject, encode(task), message_id, doing)

    async def _publish(self, subject: str, whole: bytes, message_id: str, doing: str) -> None:
        async def publish() -> None:
            data = whole if self._large.fits(whole) else await self._large.wrap(whole, doing)
            await self._messaging.queue.publish(subject, data, message_id=message_id)

        await until_taken(publish)

    async def respond(self, orchestration: Orchestration) -> None:
        """Store the response; the first one written stands."""
        subject = self._subjects.response(orchestration.oid, orchestration.generation)
        whole = encode(response_of(orchestration))

        async def append() -> None:
            data = await self._large.wrap(whole, f"answering orchestration '{orchestration.oid}'")
            await self._append_once(subject, data)

        await until_taken(append)

    async def refuse(self, event: ManifestEvent, cause: str) -> None:
        """Answer a manifest that cannot be started at all."""
        response = Response(
            v=VERSION,
            id=f"{event.event_id}/refused",
            manifest_id=event.oid,
            correlation_id=event.correlation_id,
            orchestration_type=event.orchestration_type,
            success=False,
            state=int(OrchestrationState.ERRORED),
            error_detail=cause,
        )
        subject = self._subjects.response(event.oid, 1)
        await until_taken(lambda: self._append_once(subject, encode(response)))

    async def _append_once(self, subject: str, data: bytes) -> None:
        try:
            await self._messaging.log.append(subject, data, expected=0)
        except SequenceConflict:
            return

    async def repeat_controls(self, orchestration: Orchestration) -> None:
        """Tell agents again what is to stop and what was taken over: the first message may have been lost."""
        for control in standing_controls(orchestration):
            await self._control(orchestration, control)

    async def _control(self, orchestration: Orchestration, control: Control) -> None:
        await self._messaging.feed.publish(self._subjects.control(orchestration.oid), encode(control))

    async def _announce(self, orchestration: Orchestration, facts: Sequence[Fact], now: int) -> None:
        live = Live(
            v=VERSION,
            oid=orchestration.oid,
            what="transition",
            at_millis=now,
            facts=list(facts),
        )
        data = encode(live)
        if not self._large.fits(data):
            slim = [{k: v for k, v in msgspec.to_builtins(fact).items() if k not in _HEAVY} for fact in facts]
            data = encode(msgspec.structs.replace(live, facts=slim))
        await self._messaging.feed.publish(self._subjects.live(orchestration.oid), data)
