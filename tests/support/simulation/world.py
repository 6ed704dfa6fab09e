"""Plays a scenario: the real engine and the real agents over the bus in memory, in a simulated world."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog
from simulation.evidence import EPOCH_MILLIS, STOP_GRACE_SECONDS, Evidence, Transition
from simulation.loop import Process, SimulatedLoop, Stalled
from simulation.processor import Scripted
from simulation.scenario import STORM_SECONDS, Mishap, Scenario, Start

from runner.activity import ProcessorEnvironment
from runner.engine.plan import Plan
from runner.engine.record import decode, fold_facts
from runner.engine.state import Orchestration, Status, live
from runner.errors import UnknownThing, Unreachable
from runner.executor.agent import Agent
from runner.executor.providers import Providers
from runner.executor.settings import AgentSettings
from runner.interpreter.engine import Engine
from runner.interpreter.settings import EngineSettings
from runner.messaging.memory import MemoryBus
from runner.protocol.messages import VERSION, CommandEvent, ManifestEvent, encode
from runner.protocol.subjects import Subjects

PATIENCE_SECONDS = 500.0
"""How long the calm may take: the longest grace (330 s) and then some."""
SETTLE_SECONDS = 13.0
"""How long nothing must happen any more: longer than every ack wait."""


class _Plain:
    """No secrets and no modules here."""

    async def folder(self, digest: str) -> Path:
        raise UnknownThing(digest)

    def encrypt(self, data: bytes) -> bytes:
        return data

    decrypt = encrypt

    def register(self, value: Any) -> None:
        del value

    def mask(self, text: str) -> str:
        return text

    async def reveal(self, value: Any, *, owner: str) -> tuple[Any, list[Any]]:
        del owner
        return value, []

    async def conceal_outputs(self, values: dict[str, Any], names: Iterable[str], schema: Any, owner: str) -> Any:
        del names, schema, owner
        return values


class _Plans:
    def __init__(self, plans: Iterable[Plan]) -> None:
        self._plans = {name: plan for plan in plans for name in (plan.type, plan.digest)}

    async def of(self, orchestration: Orchestration | None, manifest: ManifestEvent | None) -> Plan:
        if orchestration is not None:
            return self._plans[orchestration.bundle]
        if manifest is None:
            raise UnknownThing("taking an event of an orchestration that was never started")
        return self._plans[manifest.orchestration_type]


@dataclass(slots=True)
class _Slot:
    """One place for a process: who runs there now."""

    name: str
    process: Process
    connection: Any = None
    engine: Engine | None = None
    agent: Agent | None = None
    main: "asyncio.Task[None] | None" = None
    lives: int = 0
    down_seconds: float = 1.0


class World:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.loop = SimulatedLoop(scenario.seed, shuffles=scenario.shuffles)
        self.scenario = scenario
        self.bus = MemoryBus(scenario.faults, clock=self._clock)
        self.subjects = Subjects(partitions=scenario.partitions)
        self.plans = {plan.type: plan for plan in scenario.plans}
        self.evidence = Evidence(scenario, self.plans)
        self._client = self.bus.connect()
        self._slots: dict[str, _Slot] = {}
        self._graves: list[Process] = []
        self._pending: set[asyncio.Task[None]] = set()
        self._over = False
        self._folded: dict[str, tuple[int, Orchestration]] = {}

    def run(self) -> Evidence:
        """Storm, calm, and what is left of it."""
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._unhandled)
        try:
            with _logs_to(self.evidence.defects):
                try:
                    self.loop.run_until_complete(self._play())
                except Stalled:
                    self.evidence.defects.append("the world stands still: nothing is ready and no timer is armed")
                self._collect()
                self._tear_down()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
        return self.evidence

    def _clock(self) -> datetime:
        return datetime.fromtimestamp(EPOCH_MILLIS / 1000, UTC) + timedelta(seconds=self.loop.time())

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        if not self._over:
            self.evidence.defects.append(f"{context.get('message')}: {context.get('exception')!r}")

    # The course of events ---------------------------------------------------------------------------------------

    async def _play(self) -> None:
        scenario = self.scenario
        for n in range(scenario.engines):
            self._open(f"engine-{n}")
        for n in range(scenario.agents):
            self._open(f"agent-{n}")
        for start in scenario.starts:
            self._do(self._send(start))
        for mishap in scenario.mishaps:
            self.loop.call_at(mishap.at, self._befall, mishap)
        await asyncio.sleep(0.05)
        while self.loop.time() < STORM_SECONDS and (self._pending or not self._is_settled()):  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        self._calm()
        end = self.loop.time() + PATIENCE_SECONDS
        while self._pending or not self._is_settled():
            if self.loop.time() > end:
                return
            await asyncio.sleep(0.5)
        await asyncio.sleep(SETTLE_SECONDS)

    def _calm(self) -> None:
        self._over_storm = True
        self.scenario.faults.active = False
        for slot in self._slots.values():
            slot.process.dies_at = None
            slot.process.thaw(self.loop)

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _send(self, start: Start) -> None:
        """A client: sends until the bus has taken it, and perhaps once more."""
        await asyncio.sleep(start.at)
        manifest = ManifestEvent(
            v=VERSION,
            event_id=f"m/{start.oid}",
            oid=start.oid,
            orchestration_type=start.type,
            payload=dict(start.payload),
            only=list(start.only),
        )
        for _ in range(start.sent):
            await self._publish(manifest)
            self.evidence.acknowledged.add(("manifest", start.oid))
        if start.cancelled_at is not None:
            await asyncio.sleep(max(0.0, start.cancelled_at - self.loop.time()))
            await self._publish(
                CommandEvent(v=VERSION, event_id=f"c/{start.oid}", oid=start.oid, command="cancel", by="somebody")
            )
            self.evidence.acknowledged.add(("cancel", start.oid))

    async def _publish(self, event: ManifestEvent | CommandEvent) -> None:
        while True:
            try:
                await self._client.queue.publish(self.subjects.event(event.oid), encode(event))
            except Unreachable:
                await asyncio.sleep(0.2)
            else:
                return

    def _is_settled(self) -> bool:
        """Whether every orchestration has ended, or waits for the outside and will for ever."""
        if any(consumer.messages for queue in self.bus.queues.values() for consumer in queue.consumers.values()):
            return False
        return all(self._has_ended(start.oid) for start in self.scenario.starts)

    def _has_ended(self, oid: str) -> bool:
        entries = self.bus.logs.get(self.subjects.run(oid))
        if not entries:
            return False
        count, state = self._folded.get(oid, (0, None))
        for entry in entries[count:]:
            record = decode(entry.data)
            state = fold_facts(state, record.facts, record.at_millis)
        assert state is not None
        self._folded[oid] = (len(entries), state)
        if state.is_terminal:
            return bool(self.bus.logs.get(self.subjects.response(oid, state.generation)))
        return all(a.status is Status.WAITING and not a.due_millis for _, a in live(state)) and bool(live(state))

    # Processes --------------------------------------------------------------------------------------------------

    def _open(self, name: str) -> None:
        known = self._slots.get(name)
        lives = known.lives + 1 if known else 1
        process = Process(f"{name}.{lives}", lambda: self._died(name))
        slot = _Slot(name, process, connection=self.bus.connect(), lives=lives)
        self._slots[name] = slot
        run = self._engine(slot) if name.startswith("engine") else self._agent(slot)
        slot.main = self.loop.spawn(process, run)
        slot.main.add_done_callback(lambda task: self._ended(slot, task))

    def _now(self, process: Process) -> Callable[[], int]:
        return lambda: EPOCH_MILLIS + round(self.loop.time() * 1000) + process.skew_millis

    def _engine(self, slot: _Slot) -> Coroutine[Any, Any, None]:
        slot.engine = Engine(
            slot.connection,
            _Plans(self.scenario.plans),
            self.subjects,
            name=slot.process.name,
            now=self._now(slot.process),
            secret=b"simulated",
            settings=EngineSettings(archive_after=None),  # The invariants are asserted on the logs themselves.
        )
        return slot.engine.run()

    async def _agent(self, slot: _Slot) -> None:
        plain = _Plain()
        environment = ProcessorEnvironment(Path(), plain, plain, plain, agent=slot.process.name)
        providers = Providers(lambda _: environment, {"scripted": lambda _: Scripted(self, slot.process)})
        slot.agent = Agent(
            slot.connection,
            self.subjects,
            providers,
            plain,
            plain,
            name=slot.process.name,
            now=self._now(slot.process),
            settings=AgentSettings(
                concurrency=self.scenario.concurrency, stop_grace=timedelta(seconds=STOP_GRACE_SECONDS)
            ),
        )
        types = {activity.type for plan in self.scenario.plans for activity in plan.activities.values()}
        try:
            await slot.agent.run(sorted(types))
        finally:
            await slot.agent.abandon()

    def _ended(self, slot: _Slot, task: "asyncio.Task[None]") -> None:
        if self._over or not slot.process.alive:
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.evidence.defects.append(f"{slot.process.name} ended by itself: {error!r}")
        slot.process.die()

    def _died(self, name: str) -> None:
        slot = self._slots[name]
        slot.connection.kill()
        for effect in slot.process.works_on:
            effect.until = self.loop.time()
        self._graves.append(slot.process)
        if not self._over:
            self.loop.call_later(slot.down_seconds, self._open, name)

    def _befall(self, mishap: Mishap) -> None:
        if not self.scenario.faults.active:
            return
        if mishap.what == "server":
            self.bus.crash(self.loop.time())
            return
        slot = self._slots[mishap.process]
        if slot.process.alive:
            _MISHAPS[mishap.what](self, slot, mishap)

    def _kill(self, slot: _Slot, mishap: Mishap) -> None:
        slot.down_seconds = mishap.seconds
        if mishap.after_steps:
            slot.process.dies_at = slot.process.steps + mishap.after_steps
        else:
            slot.process.die()

    def _stop(self, slot: _Slot, mishap: Mishap) -> None:
        slot.down_seconds = mishap.seconds
        self.evidence.stopped.add(slot.process.name)
        self.loop.spawn(slot.process, self._drain(slot))

    async def _drain(self, slot: _Slot) -> None:
        """As on SIGTERM."""
        if slot.agent is not None:
            try:
                await asyncio.wait_for(slot.agent.drain(), 5.0)
            except TimeoutError:
                await slot.agent.abandon()
        if slot.main is not None:
            slot.main.cancel()

    def _freeze(self, slot: _Slot, mishap: Mishap) -> None:
        slot.process.freeze()
        self.loop.call_later(mishap.seconds, slot.process.thaw, self.loop)

    def _step_clock(self, slot: _Slot, mishap: Mishap) -> None:
        slot.process.skew_millis += mishap.millis

    # Afterwards -------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        evidence = self.evidence
        evidence.seconds = self.loop.time()
        evidence.steps = sum(slot.process.steps for slot in self._slots.values())
        base = EPOCH_MILLIS / 1000
        for start in self.scenario.starts:
            state: Orchestration | None = None
            log = evidence.logs[start.oid] = []
            for entry in self.bus.logs.get(self.subjects.run(start.oid), []):
                record = decode(entry.data)
                before, state = state, fold_facts(state, record.facts, record.at_millis)
                assert state is not None
                log.append(Transition(entry.sequence, entry.at.timestamp() - base, record, before, state))
                evidence.responses[start.oid, state.generation] = [
                    one.data for one in self.bus.logs.get(self.subjects.response(start.oid, state.generation), [])
                ]
        for slot in self._slots.values():
            if slot.engine is not None and slot.process.alive:
                for oid, loaded in slot.engine._loaded.items():
                    assert loaded.orchestration is not None
                    evidence.loaded.append((slot.process.name, oid, loaded.orchestration, loaded.sequence))
        for subject, entries in self.bus.logs.items():
            if subject.startswith("tierform.dead."):
                evidence.dead += [(subject, msgspec.json.decode(entry.data)) for entry in entries]
        for kind, queue in self.bus.queues.items():
            count = sum(len(consumer.messages) for consumer in queue.consumers.values())
            evidence.left[kind] = count + len(queue._unclaimed)

    def _tear_down(self) -> None:
        self._over = True
        for slot in self._slots.values():
            slot.process.die()
        for process in self._graves:
            process.bury(self.loop)
        for _ in range(20):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=30))
        message = f"tasks that cannot be cancelled: {tasks}"
        raise AssertionError(message)


_MISHAPS: dict[str, Callable[[World, _Slot, Mishap], None]] = {
    "kill": World._kill,
    "stop": World._stop,
    "freeze": World._freeze,
    "clock": World._step_clock,
}


@contextmanager
def _logs_to(defects: list[str]) -> Iterator[None]:
    """Keep what engines and agents log as errors; say nothing."""

    def keep(_logger: Any, _method: str, event: dict[str, Any]) -> Any:
        error = event.get("exc_info")
        text = str(event.get("event"))
        if text != "a processor raised":
            cause = structlog.processors.format_exc_info(_logger, _method, {"exc_info": error}) if error else event
            defects.append(f"{text}: {cause.get('exception', cause)}")
        raise structlog.DropEvent

    known = structlog.get_config()
    structlog.configure(
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**known)
