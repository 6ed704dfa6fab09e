"""An agent: takes tasks of its activity types, keeps their leases alive, runs them, reports."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from runner.activity import ActivityResult, Masker, Stopping, StopReason
from runner.errors import NeverRetry, TierformError
from runner.executor.execution import Finished, Watch, execute
from runner.executor.neighbours import Neighbours
from runner.executor.providers import Providers
from runner.executor.pulse import Pulse
from runner.executor.reporting import Reporter, Secrets
from runner.executor.settings import AgentSettings
from runner.messaging.dead_letters import DeadLetters
from runner.messaging.large import Large
from runner.messaging.ports import Consumer, Delivery, Messaging, Subscription
from runner.protocol.messages import (
    VERSION,
    Control,
    Live,
    Task,
    decode,
    decode_task,
    encode,
)
from runner.protocol.subjects import Subjects

_log = structlog.get_logger("agent")
_STOPS_KEPT = 10_000
_BEGUN_KEPT = 10_000
_LEFT_TO_OTHERS = timedelta(milliseconds=10)


@dataclass(slots=True)
class _Running:
    task: Task
    delivery: int
    stopping: Stopping


class Agent:
    """Runs activities; any number of agents may share one bus.

    Args:
        messaging: The bus.
        subjects: Names.
        providers: Processors.
        secrets: Reveals inputs, conceals outputs.
        masker: Hides secrets in what people see.
        name: Unique among live agents.
        now: Milliseconds since 1970, UTC.
        settings: Figures.
        wants: Tells by an orchestration's id whether this agent runs its activities; others are left to others.
        neighbours: Tells other agents of this one, and hears of them.
    """

    def __init__(
        self,
        messaging: Messaging,
        subjects: Subjects,
        providers: Providers,
        secrets: Secrets,
        masker: Masker,
        *,
        name: str,
        now: Callable[[], int],
        settings: AgentSettings | None = None,
        wants: Callable[[str], bool] | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours
        self._wants = wants
        self.name = name
        self._messaging = messaging
        self._subjects = subjects
        self._providers = providers
        self._secrets = secrets
        self._masker = masker
        self._now = now
        self._settings = settings or AgentSettings()
        self._pulse = Pulse(self._settings.ack_wait.total_seconds() / 2)
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._free = self._settings.concurrency
        self._running: dict[tuple[str, int, str, int], _Running] = {}
        self._large = Large(messaging)
        self._reporter = Reporter(messaging, subjects, secrets, masker, name)
        self._stops: dict[tuple[str, int, str, int], None] = {}
        self._begun: dict[tuple[str, int, str, int], None] = {}
        self._held: dict[int, Delivery] = {}
        self._beating = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._loops: asyncio.TaskGroup | None = None
        self._types: set[str] = set()

    async def run(self, types: Iterable[str]) -> None:
        """Take tasks of the given activity types, and of those added later, until cancelled."""
        control = await self._messaging.feed.subscribe(f"{self._subjects.prefix}.control.*")
        try:
            async with asyncio.TaskGroup() as loops:
                self._loops = loops
                loops.create_task(self._listen(control))
                loops.create_task(self._pulse.run())
                if self._neighbours is not None:
                    loops.create_task(self._neighbours.run())
                self.add(types)
        finally:
            self._loops = None
            await control.close()

    def add(self, types: Iterable[str]) -> None:
        """Take tasks of more activity types; those it takes already change nothing."""
        for activity_type in types:
            if activity_type not in self._types and self._loops is not None:
                self._types.add(activity_type)
                self._loops.create_task(self._take(activity_type))

    async def drain(self, reason: StopReason = StopReason.DRAIN) -> None:
        """Ask every running processor to stop, hand its task back, and return when all have ended."""
        self._draining = True
        for running in list(self._running.values()):
            running.stopping.request(reason)
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def drain_within(self, seconds: float) -> None:
        """Take nothing more, let what runs finish for so long, then hand the rest back."""
        self._draining = True
        running = set(self._tasks)
        if running:
            await asyncio.wait(running, timeout=seconds)
        await self.drain()

    async def abandon(self) -> None:
        """End at once: tasks stay unacknowledged and go to another agent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def busy(self) -> int:
        """How many activities it runs now."""
        return len(self._running)

    # Taking -----------------------------------------------------------------------------------------------------

    async def _take(self, activity_type: str) -> None:
        consumer: Consumer | None = None
        try:
            while not self._draining:
                try:
                    if consumer is None:
                        consumer = await self._consumer(activity_type)
                    await self._fetch(consumer)
                except TierformError as error:
                    _log.warning("taking tasks", agent=self.name, type=activity_type, error=str(error))
                    await asyncio.sleep(0.5)
        finally:
            if consumer is not None:
                await consumer.close()

    async def _consumer(self, activity_type: str) -> Consumer:
        return await self._messaging.queue.consumer(
            self._subjects.task_consumer(activity_type),
            self._subjects.task(activity_type),
            ack_wait=self._settings.ack_wait,
        )

    async def _fetch(self, consumer: Consumer) -> None:
        async with self._slots:
            batch = max(1, self._free)
        for delivery in await consumer.fetch(batch, self._settings.fetch_wait):
            if self._draining:
                await delivery.nak()
                continue
            task = asyncio.create_task(self._handle(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, delivery: Delivery) -> None:
        """One delivery from its arrival to its acknowledgement, with signs of life all along."""
        self._hold(delivery)
        came = asyncio.get_running_loop().time()
        try:
            async with self._slots:
                self._free -= 1
                try:
                    await self._run(delivery, came)
                finally:
                    self._free += 1
        except TierformError as error:
            _log.warning("running a task", agent=self.name, subject=delivery.subject, error=str(error))
        finally:
            del self._held[id(delivery)]

    def _hold(self, delivery: Delivery) -> None:
        """Have signs of life given for a delivery until it is no longer held; one timer serves all of them."""
        self._held[id(delivery)] = delivery
        if not self._beating:
            self._beating = True
            asyncio.get_running_loop().call_later(self._settings.ack_wait.total_seconds() / 3, self._beat)

    def _beat(self) -> None:
        self._beating = False
        if self._held:
            held = list(self._held.values())
            self._hold(held[0])
            signs = asyncio.create_task(self._give_signs(held))
            self._tasks.add(signs)
            signs.add_done_callback(self._tasks.discard)

    async def _give_signs(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            if id(delivery) in self._held:
                with suppress(TierformError):
                    await delivery.in_progress()

    # Running ----------------------------------------------------------------------------------------------------

    async def _run(self, delivery: Delivery, came: float) -> None:
        try:
            task = decode_task(await self._large.unwrap(delivery.data))
        except NeverRetry as error:
            await self._bury(delivery, str(error))
            return
        if self._wants is not None and not self._wants(task.oid):
            await delivery.nak(_LEFT_TO_OTHERS * 2 ** min(delivery.count, 8))
            return
        key = (task.oid, task.generation, task.activity, task.lease)
        if key in self._running:
            return  # What this agent runs already, delivered again: it stays its task, and is acknowledged at its end.
        if self._draining:
            await delivery.nak()
            return
        # Entered before anything is waited for: the agent runs one copy of a task at a time.
        running = self._running[key] = _Running(task, delivery.count, Stopping())
        try:
            if await self._may_run(running, delivery, self._is_doubtful(key, delivery, came)):
                await self._execute(running, delivery)
        finally:
            del self._running[key]

    def _is_doubtful(self, key: tuple[str, int, str, int], delivery: Delivery, came: float) -> bool:
        """Whether somebody may have run the lease meanwhile: it came before, or it lay here for long."""
        lay = asyncio.get_running_loop().time() - came
        late = lay > self._settings.ack_wait.total_seconds() / 2 or self._pulse.stood_still()
        doubtful = delivery.count > 1 or key in self._begun or late
        self._begun[key] = None
        while len(self._begun) > _BEGUN_KEPT:
            del self._begun[next(iter(self._begun))]
        return doubtful

    async def _may_run(self, running: _Running, delivery: Delivery, doubtful: bool) -> bool:
        """Whether this delivery is still to be run; one that is not is acknowledged."""
        task = running.task
        if doubtful:
            answer = await self._reporter.claim(task, delivery.count, self._settings.claim_timeout)
            if not answer.live:
                await delivery.ack()
                return False
            if answer.stop:
                running.stopping.request(StopReason.CANCEL)
        elif (self._subjects.control(task.oid), task.generation, task.activity, task.lease) in self._stops:
            await self._reporter.report(
                task, delivery.count, Finished(ActivityResult.retry("stopped before it began")), 0
            )
            await delivery.ack()
            return False
        if task.stop:
            running.stopping.request(StopReason.CANCEL)
        return True

    async def _execute(self, running: _Running, delivery: Delivery) -> None:
        task, started = running.task, self._now()
        await self._announce(task, "started")
        finished = await execute(
            task,
            delivery.count,
            self._providers,
            self._secrets,
            running.stopping,
            self._watch(task),
            self._settings.stop_grace,
        )
        if running.stopping.reason is StopReason.LOST:
            return  # The message is another agent's now, which alone acknowledges it or hands it back.
        if finished.handed_back:
            # Not a nak: the server forgets it when it ends together with this agent, and the task would wait for its lease.
            finished = Finished(ActivityResult.schedule(timedelta(0)), finished.changes)
        await self._reporter.report(task, delivery.count, finished, started)
        await delivery.ack()

    # Telling ----------------------------------------------------------------------------------------------------

    def _watch(self, task: Task) -> Watch:
        loop = asyncio.get_running_loop()

        def progress(text: str) -> None:
            loop.call_soon_threadsafe(self._spawn, task, self._masker.mask(text))

        return Watch(progress)

    def _spawn(self, task: Task, text: str) -> None:
        announcement = asyncio.create_task(self._announce(task, "progress", text))
        self._tasks.add(announcement)
        announcement.add_done_callback(self._tasks.discard)

    async def _announce(self, task: Task, what: str, text: str = "") -> None:
        live = Live(
            v=VERSION,
            oid=task.oid,
            what=what,  # type: ignore[arg-type] # One of the three.
            at_millis=self._now(),
            activity=task.activity,
            attempt=task.attempt,
            agent=self.name,
            text=text,
        )
        await self._messaging.feed.publish(self._subjects.live(task.oid), encode(live))

    async def _bury(self, delivery: Delivery, cause: str) -> None:
        _log.error("a task could not be read", agent=self.name, subject=delivery.subject, cause=cause)
        letters = DeadLetters(self._messaging.log, self._subjects)
        await letters.bury("task", "", delivery.subject, delivery.data, cause, self._now())
        await delivery.ack()

    # Listening --------------------------------------------------------------------------------------------------

    async def _listen(self, control: Subscription) -> None:
        async for message in control:
            with suppress(TierformError):
                await self._obey(message.subject, decode(Control, message.data))

    async def _obey(self, subject: str, control: Control) -> None:
        if control.reason == "cancel":
            self._remember_stop((subject, control.generation, control.activity, control.lease))
        for running in list(self._running.values()):
            task = running.task
            if (task.generation, task.activity, task.lease) != (control.generation, control.activity, control.lease):
                continue
            if self._subjects.control(task.oid) != subject:
                continue
            if control.reason == "cancel":
                running.stopping.request(StopReason.CANCEL)
            elif running.delivery < control.delivery:
                running.stopping.request(StopReason.LOST)
            if running.delivery > 1 and running.stopping.reason is not StopReason.LOST:
                await self._reporter.send_claim(task, running.delivery)  # It has the task, and says so.

    def _remember_stop(self, stop: tuple[str, int, str, int]) -> None:
        """Keep the newest stops: a task that is still queued is stopped when it arrives."""
        self._stops.pop(stop, None)
        self._stops[stop] = None
        while len(self._stops) > _STOPS_KEPT:
            del self._stops[next(iter(self._stops))]
