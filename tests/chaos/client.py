"""Everybody outside: starts orchestrations, completes their gates, cancels and retries them, and waits for their ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from workload import TYPES, Kind, pick

from runner.errors import NeverRetry, TierformError
from runner.interpreter.orchestrations import Orchestrations
from runner.messaging.jetstream import JetStreamMessaging, JetStreamSettings, connect
from runner.messaging.ports import ConsumerState
from runner.protocol.messages import VERSION, CommandEvent, CompletionEvent, ManifestEvent, Wire, encode
from runner.protocol.subjects import Subjects

T = TypeVar("T")


@dataclass(slots=True)
class Submitted:
    """One orchestration."""

    oid: str
    kind: Kind
    seed: int
    ended: bool = False


@dataclass(slots=True)
class Client:
    """Whatever it publishes it repeats until the server has acknowledged it."""

    messaging: JetStreamMessaging
    ledger: Path
    random: Random
    subjects: Subjects = field(default_factory=Subjects)
    submitted: dict[str, Submitted] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _offset: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def store(self) -> Orchestrations:
        return Orchestrations(self.messaging, self.subjects, "client")

    async def submit(self, count: int, seconds: float) -> None:
        """So many orchestrations, spread evenly over the time."""
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number * seconds / count - time.monotonic()))
            kind = pick(self.random)
            one = Submitted(f"{kind.name}-{number}", kind, self.random.randrange(1000))
            event = ManifestEvent(
                v=VERSION,
                event_id=f"manifest-{one.oid}",
                oid=one.oid,
                orchestration_type=kind.name,
                correlation_id=f"tenant-{number % 17}",
                payload={"seed": one.seed},
            )
            self.submitted[one.oid] = one
            self._spawn(self._start(one, event))

    async def _start(self, one: Submitted, event: ManifestEvent) -> None:
        await self._publish(one.oid, event, event.event_id)
        if one.kind.name == "endless":
            await asyncio.sleep(self.random.uniform(0, 3))
            await self._command(one.oid, "cancel")
        elif one.kind.generations > 1:
            await self._until(one, lambda state: state.is_terminal)
            await self._command(one.oid, "retry")

    async def _command(self, oid: str, command: Any) -> None:
        event = CommandEvent(v=VERSION, event_id=f"{command}-{oid}", oid=oid, command=command, by="chaos")
        await self._publish(oid, event, event.event_id)

    async def _publish(self, oid: str, event: Wire, message_id: str) -> None:
        queue = self.messaging.queue
        await patiently(lambda: queue.publish(self.subjects.event(oid), encode(event), message_id=message_id))

    async def _until(self, one: Submitted, condition: Callable[[Any], bool]) -> None:
        while True:
            state = (await patiently(lambda: self.store.load(one.oid))).orchestration
            if state is not None and condition(state):
                return
            await asyncio.sleep(0.3)

    async def complete_gates(self) -> None:
        """Complete what waits, by the token that its processor was given; for ever."""
        while True:
            for line in self._new_lines():
                if line["oid"].startswith("waiting") and line["activity"] == "w" and line["lease"] not in self._seen:
                    self._seen.add(line["lease"])
                    self._spawn(self._complete(line))
            await asyncio.sleep(0.1)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Do no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _new_lines(self) -> list[dict[str, Any]]:
        with self.ledger.open("rb") as file:
            file.seek(self._offset)
            whole, separator, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(separator)
        return [json.loads(line) for line in whole.splitlines()]

    async def _complete(self, line: dict[str, Any]) -> None:
        await asyncio.sleep(self.random.choice([0, 0.5, 2]))  # At once: the completion may overtake the Wait.
        event = CompletionEvent(
            v=VERSION,
            event_id=f"completion-{line['lease']}",
            oid=line["oid"],
            activity=line["activity"],
            token=line["lease"],
            outcome="complete",
            by="chaos",
        )
        await self._publish(line["oid"], event, event.event_id)

    async def running(self) -> list[Submitted]:
        """Those that have not ended yet."""
        for one in self.submitted.values():
            if not one.ended:
                state = (await patiently(lambda oid=one.oid: self.store.load(oid))).orchestration
                one.ended = state is not None and state.is_terminal and state.generation == one.kind.generations
        return [one for one in self.submitted.values() if not one.ended]

    async def queued(self) -> dict[str, ConsumerState]:
        """Consumers that still have something."""
        subjects, wanted = self.subjects, {}
        for type_ in TYPES:
            wanted[subjects.task_consumer(type_)] = subjects.task(type_)
        for partition in range(subjects.partitions):
            wanted[subjects.event_consumer(partition)] = subjects.event_filter(partition)
        found = {}
        for name, filter_ in wanted.items():
            state = await patiently(lambda name=name, filter_=filter_: self._consumer_state(name, filter_))
            if state.pending or state.unacknowledged:
                found[name] = state
        return found

    async def _consumer_state(self, name: str, filter_: str) -> ConsumerState:
        wait = timedelta(seconds=10 if name.startswith("event") else 6)
        consumer = await self.messaging.queue.consumer(name, filter_, ack_wait=wait)
        try:
            return await consumer.state()
        finally:
            await consumer.close()


async def patiently(action: Callable[[], Awaitable[T]]) -> T:
    """Repeat until it succeeds: the server may be down for a while."""
    while True:
        try:
            return await action()
        except NeverRetry:
            raise
        except TierformError:
            await asyncio.sleep(0.2)


@asynccontextmanager
async def client(url: str, token: str, ledger: Path, random: Random) -> AsyncIterator[Client]:
    """A connected client."""
    messaging = await connect(JetStreamSettings(urls=(url,), token=token, name="chaos"))
    try:
        yield Client(messaging, ledger, random)
    finally:
        await messaging.close()
