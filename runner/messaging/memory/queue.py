"""The queue port of one connection in memory."""

import asyncio
from datetime import timedelta

from runner.messaging.memory.connection import Connection
from runner.messaging.memory.queues import DurableConsumer, Queued
from runner.messaging.ports import Consumer, ConsumerState, Delivery, Message
from runner.messaging.rules import queue_of


class MemoryDelivery:
    """`runner.messaging.ports.Delivery`; frozen at the count it was delivered with."""

    __slots__ = ("_connection", "_consumer", "_sequence", "count", "data", "subject")

    def __init__(self, connection: Connection, consumer: DurableConsumer, message: Queued) -> None:
        self._connection = connection
        self._consumer = consumer
        self._sequence = message.sequence
        self.subject = message.subject
        self.data = message.data
        self.count = message.count

    async def ack(self) -> None:
        """See the port."""
        time = asyncio.get_running_loop().time
        await self._connection.signal(lambda: self._consumer.remove(self._sequence, time()))

    async def nak(self, delay: timedelta = timedelta(0)) -> None:
        """See the port."""
        at = asyncio.get_running_loop().time() + delay.total_seconds() if delay > timedelta(0) else None
        await self._connection.signal(lambda: self._consumer.hand_back(self._sequence, at))

    async def in_progress(self) -> None:
        """See the port."""
        now = asyncio.get_running_loop().time()
        await self._connection.signal(lambda: self._consumer.extend(self._sequence, now))


class MemoryConsumer:
    """`runner.messaging.ports.Consumer`."""

    def __init__(self, connection: Connection, consumer: DurableConsumer) -> None:
        self._connection = connection
        self._consumer = consumer
        self._closed = False

    async def fetch(self, batch: int, wait: timedelta) -> list[Delivery]:
        """See the port."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        doing = f"fetching from the consumer {self._consumer.name!r}"
        while True:
            taken = await self._connection.call(doing, lambda: self._take(batch, loop.time()))
            if taken or self._closed or loop.time() >= end:
                return taken
            await self._wait(end)

    def _take(self, batch: int, now: float) -> list[Delivery]:
        taken: list[Delivery] = []
        while len(taken) < batch and (message := self._consumer.take(now, self._connection.bus.faults)):
            taken.append(MemoryDelivery(self._connection, self._consumer, message))
        return taken

    async def _wait(self, end: float) -> None:
        """Until something may be ready, or ``end``."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._consumer.waiters[waiter] = None
        due = self._consumer.next_due()
        timer = loop.call_at(end if due is None else min(end, due), _finish, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._consumer.waiters.pop(waiter, None)

    async def state(self) -> ConsumerState:
        """See the port."""
        return await self._connection.call(f"asking about the consumer {self._consumer.name!r}", self._figures)

    def _figures(self) -> ConsumerState:
        self._consumer.expire(asyncio.get_running_loop().time())
        delivered = sum(1 for message in self._consumer.messages.values() if message.count)
        pending = len(self._consumer.messages) - delivered
        return ConsumerState(pending=pending, unacknowledged=delivered)

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        self._consumer.wake()


class MemoryQueue:
    """`runner.messaging.ports.Queue`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(self, subject: str, data: bytes, *, message_id: str | None = None) -> None:
        """See the port."""
        store = self._connection.bus.queues[queue_of(self._connection.bus.prefix, subject)]
        body = self._connection.check("publishing to", subject, data)
        now = asyncio.get_running_loop().time
        await self._connection.call(
            f"publishing to {subject!r}", lambda: store.publish(subject, body, message_id, now())
        )

    async def consumer(self, name: str, subject: str, *, ack_wait: timedelta, max_unacknowledged: int = -1) -> Consumer:
        """See the port."""
        store = self._connection.bus.queues[queue_of(self._connection.bus.prefix, subject)]
        durable = await self._connection.call(
            f"creating the consumer {name!r}",
            lambda: store.consumer(name, subject, ack_wait.total_seconds(), max_unacknowledged),
        )
        self._connection.on_end(durable.wake)
        return MemoryConsumer(self._connection, durable)

    async def stored(self, pattern: str) -> list[Message]:
        """See the port."""
        store = self._connection.bus.queues[queue_of(self._connection.bus.prefix, pattern)]
        return await self._connection.call(
            f"looking at {pattern!r}",
            lambda: [Message(one.subject, one.data, one.sequence) for one in store.stored(pattern)],
        )

    async def discard(self, pattern: str) -> None:
        """See the port."""
        store = self._connection.bus.queues[queue_of(self._connection.bus.prefix, pattern)]
        now = asyncio.get_running_loop().time
        await self._connection.call(f"discarding {pattern!r}", lambda: store.discard(pattern, now()))


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
