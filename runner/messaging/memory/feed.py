"""The feed in memory."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Generic, TypeVar

from runner.errors import Unreachable
from runner.messaging.memory.connection import Connection
from runner.messaging.ports import Message, Request, Requests, Subscription
from runner.messaging.rules import matches

T = TypeVar("T")

_WAITING_MESSAGES = 65536


class Inbox(Generic[T]):
    """Messages that came for one subscription; the oldest are dropped when nobody takes them."""

    def __init__(self, connection: Connection, pattern: str) -> None:
        self._connection = connection
        self.pattern = pattern
        self._messages: deque[T] = deque(maxlen=_WAITING_MESSAGES)
        self._wake = asyncio.Event()
        self._closed = False
        self._ends = False
        connection.bus.inboxes.append(self)
        connection.on_end(self.shut)

    @property
    def is_open(self) -> bool:
        """Whether somebody still listens."""
        return not self._closed and self._connection.alive

    def give(self, message: T) -> None:
        """Add one message."""
        self._messages.append(message)
        self._wake.set()

    def finish(self) -> None:
        """Nothing more will come."""
        self._ends = True
        self._wake.set()

    def shut(self) -> None:
        """Stop listening."""
        self._closed = True
        self._wake.set()
        if self in self._connection.bus.inboxes:
            self._connection.bus.inboxes.remove(self)

    async def close(self) -> None:
        """See the port."""
        self.shut()

    def __aiter__(self) -> AsyncIterator[T]:
        """See the port."""
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[T]:
        while self.is_open:
            if self._messages:
                yield self._messages.popleft()
            elif self._ends:
                return
            else:
                self._wake.clear()
                await self._wake.wait()


class Listening(Inbox[Message]):
    """`runner.messaging.ports.Subscription`."""

    journal = False


class Following(Listening):
    """The same over the journal: its messages have sequences."""

    journal = True


class Serving(Inbox[Request]):
    """`runner.messaging.ports.Requests`."""


class MemoryRequest:
    """`runner.messaging.ports.Request`."""

    def __init__(self, data: bytes, answer: "asyncio.Future[bytes]") -> None:
        self.data = data
        self._answer = answer

    async def reply(self, data: bytes) -> None:
        """See the port."""
        if not self._answer.done():
            self._answer.set_result(bytes(memoryview(data)))


class MemoryFeed:
    """`runner.messaging.ports.Feed`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bus = connection.bus
        self._turn = 0

    async def publish(self, subject: str, data: bytes) -> None:
        """See the port."""
        body = self._connection.check("publishing to", subject, data)
        await asyncio.sleep(0)
        if not self._connection.alive or self._bus.faults.happens(self._bus.faults.feed_lost):
            return
        stored = Message(subject, body)
        if matches(f"{self._bus.prefix}.live.>", subject):
            stored = Message(subject, body, self._bus.next_sequence())
            self._bus.journal.append(stored)
        for inbox in tuple(self._bus.inboxes):
            if isinstance(inbox, Listening) and matches(inbox.pattern, subject):
                inbox.give(stored if inbox.journal else Message(subject, body))

    async def subscribe(self, subject: str) -> Subscription:
        """See the port."""
        self._connection.check_alive(f"subscribing to {subject!r}")
        await asyncio.sleep(0)
        return Listening(self._connection, subject)

    async def follow(self, subject: str, *, live: bool) -> Subscription:
        """See the port."""
        self._connection.check_alive(f"following {subject!r}")
        await asyncio.sleep(0)
        following = Following(self._connection, subject)
        for message in self._bus.journal:
            if matches(subject, message.subject):
                following.give(message)
        if not live:
            self._bus.inboxes.remove(following)
            following.finish()
        return following

    async def forget(self, subject: str) -> None:
        """See the port."""

        def effect() -> None:
            kept = [message for message in self._bus.journal if not matches(subject, message.subject)]
            self._bus.journal.clear()
            self._bus.journal.extend(kept)

        await self._connection.call(f"forgetting {subject!r}", effect)

    async def request(self, subject: str, data: bytes, timeout: timedelta) -> bytes:  # noqa: ASYNC109 - the port's
        """See the port."""
        body = self._connection.check("asking", subject, data)
        self._connection.check_alive(f"asking {subject!r}")
        await asyncio.sleep(0)
        servers = [one for one in self._bus.inboxes if isinstance(one, Serving) and matches(one.pattern, subject)]
        if not servers:
            raise Unreachable(f"asking {subject!r}: nobody serves it", remedy="start an engine")
        self._turn += 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        servers[self._turn % len(servers)].give(MemoryRequest(body, answer))
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await answer
        except TimeoutError as error:
            detail = f"asking {subject!r}: no answer within {timeout.total_seconds():g} s"
            raise Unreachable(detail) from error

    async def serve(self, subject: str) -> Requests:
        """See the port."""
        self._connection.check_alive(f"serving {subject!r}")
        await asyncio.sleep(0)
        return Serving(self._connection, subject)
