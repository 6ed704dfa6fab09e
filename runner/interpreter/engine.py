"""The engine: the only writer of orchestration state."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import msgspec
import structlog

from runner.engine.effects import completion_token, next_due, task_of
from runner.engine.facts import CompletionRefused, Fact, Failed
from runner.engine.plan import Plan
from runner.engine.reducer import Input, Lost, Tick, holds_lease, reduce
from runner.engine.state import Orchestration, Status
from runner.errors import NeverRetry, Retry, TierformError, UnknownThing
from runner.interpreter.archivist import Archivist
from runner.interpreter.mailboxes import Mailboxes
from runner.interpreter.membership import Membership
from runner.interpreter.orchestrations import Loaded, Orchestrations, TooLarge
from runner.interpreter.outbox import Outbox
from runner.interpreter.plans import PlanSource
from runner.interpreter.retention import Retention
from runner.interpreter.settings import EngineSettings
from runner.interpreter.sweeper import Sweeper
from runner.interpreter.timers import Timers
from runner.messaging.dead_letters import DeadLetters
from runner.messaging.large import Large
from runner.messaging.ports import Consumer, ConsumerState, Delivery, Messaging, SequenceConflict
from runner.protocol.messages import (
    VERSION,
    Answer,
    AnyEvent,
    ClaimEvent,
    CompletionEvent,
    ManifestEvent,
    ReportEvent,
    decode_event,
    encode,
)
from runner.protocol.subjects import Subjects, partition_of

_log = structlog.get_logger("engine")

_EARLY_DELIVERIES = 12
_EARLY_PAUSE = timedelta(milliseconds=50)
"""An event may overtake its manifest by as long as a dead engine keeps that one: over a minute all in all."""


@dataclass(slots=True)
class _Item:
    """One thing to reduce: an event with its delivery, or something the engine itself noticed."""

    event: Input
    delivery: Delivery | None = None


class Engine:
    """Runs orchestrations: any number of engines may share one bus.

    Args:
        messaging: The bus.
        plans: Compiled definitions.
        subjects: Names.
        name: Unique among live engines.
        now: Milliseconds since 1970, UTC.
        secret: Opens completion tokens; the same for all engines.
        settings: Figures.
        forget: Deletes the secrets of an orchestration's id when it is removed; None removes no orchestration.
    """

    def __init__(
        self,
        messaging: Messaging,
        plans: PlanSource,
        subjects: Subjects,
        *,
        name: str,
        now: Callable[[], int],
        secret: bytes,
        settings: EngineSettings | None = None,
        forget: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        self.name = name
        self._messaging = messaging
        self._plans = plans
        self._subjects = subjects
        self._now = now
        self._secret = secret
        self._settings = settings or EngineSettings()
        self._store = Orchestrations(messaging, subjects, name)
        retention = Retention(messaging, subjects, self._store, forget) if forget is not None else None
        self._archivist = Archivist(
            self._store, retention, self._settings, now, self._owns, lambda: 0 in self._partitions
        )
        self._outbox = Outbox(messaging, subjects, secret)
        self._dead = DeadLetters(messaging.log, subjects)
        self._large = Large(messaging)
        self._mail: Mailboxes[_Item] = Mailboxes(self._work)
        self._loaded: dict[str, Loaded] = {}
        self._timers = Timers(now, lambda oid: self._mail.put(oid, _Item(Tick())))
        self._sweeper = Sweeper(self._task_state)
        self._members = Membership(messaging.feed, subjects, name, self._own, self._look_through)
        self._consumers: dict[int, Consumer] = {}
        self._task_consumers: dict[str, Consumer] = {}
        self._partitions: dict[int, asyncio.Task[None]] = {}
        self._takeovers: set[asyncio.Task[None]] = set()
        self._draining = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take part until cancelled; then hand the partitions over and leave."""
        parts = (self._members.run(), self._timers.run(), self._sweep(), self._archivist.run())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            await self._stop(tasks)

    async def drain(self) -> None:
        """Take no more events and return when those taken have been worked off."""
        self._draining = True
        for task in self._partitions.values():
            task.cancel()
        await self._mail.below(1)

    async def _stop(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        everything = [*self._partitions.values(), *self._takeovers]
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, *self._leaving, return_exceptions=True)
        for consumer in self._task_consumers.values():
            await consumer.close()
        await self._mail.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Partitions -------------------------------------------------------------------------------------------------

    def _own(self, partitions: frozenset[int]) -> None:
        """Start what was gained, stop what was lost."""
        if self._draining:
            return
        for partition in set(self._partitions) - partitions:
            task = self._partitions.pop(partition)
            task.cancel()
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            self._drop(partition)
        gained = partitions - set(self._partitions)
        for partition in gained:
            self._partitions[partition] = asyncio.create_task(self._consume(partition))
        if gained:
            self._look_through(gained)
        _log.info("partitions", engine=self.name, owned=sorted(partitions))

    def _owns(self, oid: str) -> bool:
        return partition_of(oid, self._subjects.partitions) in self._partitions

    def _look_through(self, partitions: frozenset[int]) -> None:
        """Load what is in partitions that another engine may have worked on."""
        for partition in partitions:
            self._drop(partition)
        task = asyncio.create_task(_persist(lambda: self._take_over(partitions), "taking over partitions"))
        self._takeovers.add(task)
        task.add_done_callback(self._takeovers.discard)

    def _drop(self, partition: int) -> None:
        for oid in [oid for oid in self._loaded if partition_of(oid, self._subjects.partitions) == partition]:
            self._forget(oid)

    def _forget(self, oid: str) -> None:
        self._loaded.pop(oid, None)
        self._timers.arm(oid, None)
        self._sweeper.forget(oid)

    async def _take_over(self, partitions: frozenset[int]) -> None:
        """Bring every orchestration of the gained partitions into memory, its timers and suspects with it."""
        for token in await self._store.hot_ids():
            loaded = await self._store.load_token(token)
            state = loaded.orchestration
            if state is None or partition_of(state.oid, self._subjects.partitions) not in partitions:
                continue
            if state.is_terminal:
                await self._outbox.respond(state)
                self._archivist.note(state)
            else:
                self._mail.put(state.oid, _Item(Tick()))

    async def _consume(self, partition: int) -> None:
        await _persist(lambda: self._consume_until_error(partition), f"taking events of partition {partition}")

    async def _consume_until_error(self, partition: int) -> None:
        consumer = await self._messaging.queue.consumer(
            self._subjects.event_consumer(partition),
            self._subjects.event_filter(partition),
            ack_wait=self._settings.event_ack_wait,
        )
        self._consumers[partition] = consumer
        try:
            while True:
                await self._mail.below(self._settings.in_flight)
                for delivery in await consumer.fetch(self._settings.batch, self._settings.fetch_wait):
                    await self._receive(delivery)
        finally:
            # An open fetch would go on taking the events of the partition's new engine, to hold them unread.
            if self._consumers.get(partition) is consumer:
                del self._consumers[partition]
            await consumer.close()

    async def _receive(self, delivery: Delivery) -> None:
        try:
            event = decode_event(await self._large.unwrap(delivery.data))
        except NeverRetry as error:
            await self._dead.bury("event", "", delivery.subject, delivery.data, str(error), self._now())
            await delivery.ack()
            return
        self._mail.put(event.oid, _Item(event, delivery))

    # One orchestration ------------------------------------------------------------------------------------------

    async def _work(self, oid: str, items: Sequence[_Item]) -> None:
        """Process a batch; whatever passes away is tried again until the engine stops."""
        pause = 0.02
        while True:
            try:
                await self._process(oid, items)
            except Retry as error:
                self._forget(oid)
                if not isinstance(error, SequenceConflict):
                    _log.warning("retrying", engine=self.name, oid=oid, error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            except NeverRetry as error:
                self._forget(oid)
                await self._refuse(oid, items, error)
                return
            except Exception as error:  # noqa: BLE001 - The edge of the engine: one orchestration's defect stops no other.
                self._forget(oid)
                _log.exception("a batch of events could not be processed", engine=self.name, oid=oid)
                await self._bury(oid, items, f"{type(error).__name__}: {error}")
                return
            else:
                return

    async def _process(self, oid: str, items: Sequence[_Item]) -> None:
        loaded = self._loaded.get(oid) or await self._store.load(oid)
        plan = await self._plans.of(loaded.orchestration, _manifest_among(items))
        now = self._now()
        state = loaded.orchestration
        facts: list[Fact] = []
        answers: list[tuple[str, Answer]] = []
        poisonous: list[Failed] = []
        for item in sorted(items, key=_after_manifest):
            if isinstance(item.event, CompletionEvent) and not self._is_authorised(state, item.event):
                answers.append((item.event.reply, Answer(v=VERSION, live=False, reason="the token is not valid")))
                continue
            state, more = reduce(plan, state, item.event, now)
            facts += more
            if isinstance(item.event, ClaimEvent):
                answers.append((item.event.reply, _answer_to(state, item.event)))
                poisonous += [fact for fact in more if isinstance(fact, Failed)]
            elif isinstance(item.event, CompletionEvent):
                answers.append((item.event.reply, _completion_answer(more)))
        if facts and state is not None:
            events = [item.event.event_id for item in items if isinstance(item.event, AnyEvent)]
            loaded = await self._store.append(loaded, state, facts, events, now)
        if state is not None:
            self._remember(loaded, state, plan)
            self._note_signs_of_life(state, items, now)
            if facts:
                await self._outbox.publish(plan, state, facts, now)
            elif state.is_terminal:
                await self._outbox.respond(state)
            self._archivist.note(state)
            for fact in poisonous:
                await self._bury_task(plan, state, fact)
        await self._answer(answers)
        await _acknowledge(items)

    async def _bury_task(self, plan: Plan, state: Orchestration, fact: Failed) -> None:
        """Keep the task of an activity whose agents died of it again and again."""
        task = task_of(plan, state, fact.activity, b"")
        subject = self._subjects.task(task.type)
        await self._dead.bury("task", state.oid, subject, encode(task), fact.error, self._now())

    def _remember(self, loaded: Loaded, state: Orchestration, plan: Plan) -> None:
        if state.is_terminal:
            self._forget(state.oid)
            return
        self._loaded[state.oid] = loaded
        self._timers.arm(state.oid, next_due(state))
        self._sweeper.note(state, lambda name: plan.planned(name).type)

    def _note_signs_of_life(self, state: Orchestration, items: Sequence[_Item], now: int) -> None:
        for item in items:
            if isinstance(item.event, ClaimEvent) and holds_lease(state, item.event):
                self._sweeper.saw(state.oid, item.event.activity, now)

    def _is_authorised(self, state: Orchestration | None, event: CompletionEvent) -> bool:
        """Whether the completion has the token of the activity's current lease."""
        if state is None or state.is_terminal or event.activity not in state.activities:
            return False
        return hmac.compare_digest(event.token, completion_token(state, event.activity, self._secret))

    async def _answer(self, answers: Sequence[tuple[str, Answer]]) -> None:
        for reply, answer in answers:
            if reply:
                await self._messaging.feed.publish(reply, encode(answer))

    async def _refuse(self, oid: str, items: Sequence[_Item], error: NeverRetry) -> None:
        """A batch that can never be taken: its manifest is answered, its other events are buried one by one."""
        if len(items) > 1:
            for item in items:
                await self._work(oid, [item])
        elif isinstance(error, TooLarge) and isinstance(report := items[0].event, ReportEvent):
            await self._work(oid, [_Item(_fatal(report, str(error)), items[0].delivery)])
        elif isinstance(error, UnknownThing) and await _is_left_for_later(items[0]):
            _log.info("an event came before its manifest", engine=self.name, oid=oid)
        else:
            await self._bury(oid, items, str(error))

    async def _bury(self, oid: str, items: Sequence[_Item], cause: str) -> None:
        for item in items:
            data = encode(item.event) if isinstance(item.event, AnyEvent) else repr(item.event).encode()
            letter = partial(self._dead.bury, "event", oid, self._subjects.event(oid), data, cause, self._now())
            await _persist(letter, "keeping a dead letter")
            if isinstance(item.event, ManifestEvent):
                await self._outbox.refuse(item.event, cause)
        await _acknowledge(items)

    # Sweeping ---------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep_interval.total_seconds())
            try:
                await self._sweep_once()
            except TierformError as error:
                _log.warning("sweeping", engine=self.name, error=str(error))

    async def _sweep_once(self) -> None:
        for oid in self._sweeper.told():
            loaded = self._loaded.get(oid)
            if loaded is not None and loaded.orchestration is not None:
                await self._outbox.repeat_controls(loaded.orchestration)
        if self._mail.waiting or not await self._events_idle():
            return
        for queued in await self._sweeper.lost(self._now()):
            _log.warning("task lost, dispatching again", oid=queued.oid, activity=queued.activity)
            self._mail.put(queued.oid, _Item(Lost(queued.activity, queued.lease)))

    async def _events_idle(self) -> bool:
        states = [await consumer.state() for consumer in list(self._consumers.values())]  # More come meanwhile.
        return not any(state.pending or state.unacknowledged for state in states)

    async def _task_state(self, activity_type: str) -> ConsumerState:
        consumer = self._task_consumers.get(activity_type)
        if consumer is None:
            consumer = await self._messaging.queue.consumer(
                self._subjects.task_consumer(activity_type),
                self._subjects.task(activity_type),
                ack_wait=self._settings.task_ack_wait,
            )
            self._task_consumers[activity_type] = consumer
        return await consumer.state()


def _answer_to(state: Orchestration | None, claim: ClaimEvent) -> Answer:
    live = holds_lease(state, claim)
    stop = live and state is not None and state.activities[claim.activity].status is Status.STOPPING
    return Answer(v=VERSION, live=live, stop=stop)


def _fatal(report: ReportEvent, error: str) -> ReportEvent:
    """The report as a fatal error that brings nothing."""
    return msgspec.structs.replace(report, result=-2, error=error, set={}, deleted=[], outputs={}, heartbeat=None)


def _completion_answer(facts: Sequence[Fact]) -> Answer:
    refused = next((fact for fact in facts if isinstance(fact, CompletionRefused)), None)
    if refused is not None:
        return Answer(v=VERSION, live=False, reason=refused.reason)
    return Answer(v=VERSION, live=bool(facts), reason="" if facts else "it was completed already")


def _after_manifest(item: _Item) -> bool:
    """Sorts an event behind a manifest that it has overtaken."""
    return not isinstance(item.event, ManifestEvent)


async def _is_left_for_later(item: _Item) -> bool:
    """Whether the event was handed back, because its manifest may still be on its way."""
    if isinstance(item.event, ManifestEvent) or item.delivery is None or item.delivery.count > _EARLY_DELIVERIES:
        return False
    await item.delivery.nak(_EARLY_PAUSE * 2**item.delivery.count)
    return True


def _manifest_among(items: Sequence[_Item]) -> ManifestEvent | None:
    return next((item.event for item in items if isinstance(item.event, ManifestEvent)), None)


async def _acknowledge(items: Sequence[_Item]) -> None:
    for item in items:
        if item.delivery is not None:
            await item.delivery.ack()


async def _persist(action: Callable[[], Awaitable[None]], doing: str) -> None:
    """Run an action to its end, again and again while what stops it is passing."""
    pause = 0.05
    while True:
        try:
            await action()
        except TierformError as error:
            _log.warning(doing, error=str(error))
        except Exception:  # noqa: BLE001 - The edge of the engine: a defect here must not silence a partition for good.
            _log.exception(doing)
        else:
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2.0)
