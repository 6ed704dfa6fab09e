"""The feed: core NATS for those who listen now, and its journal."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TypeVar

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from runner.errors import Unreachable
from runner.messaging.jetstream.client import listen
from runner.messaging.jetstream.follow import JournalSubscription
from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.log import purge
from runner.messaging.jetstream.topology import Names
from runner.messaging.jetstream.translation import translate
from runner.messaging.ports import Message, Request, Requests, Subscription

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_UNSENT_BYTES = 8 * 1024 * 1024
_WAITING_MESSAGES = 65536
_SERVERS = "tierform"
_FLUSH_SECONDS = 5


class JetStreamRequest:
    """`runner.messaging.ports.Request`."""

    __slots__ = ("_link", "_message")

    def __init__(self, link: Link, message: Msg) -> None:
        self._link = link
        self._message = message

    @property
    def data(self) -> bytes:
        """See the port."""
        return self._message.data

    async def reply(self, data: bytes) -> None:
        """See the port."""
        if self._message.reply:
            self._link.check("answering on", self._message.subject, data)
            await self._link.send(self._message.reply, data)


class _Incoming(Generic[_T]):
    """Messages that arrived; the oldest are dropped, and that is logged, when nobody takes them for too long."""

    def __init__(self, link: Link, subject: str) -> None:
        self._link = link
        self._subject = subject
        self._subscription: NatsSubscription | None = None
        self._messages: deque[_T] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._dropped = 0

    async def _listen(self, queue: str = "") -> None:
        self._link.on_change(self._wake.set)
        try:
            self._subscription = await listen(self._link.client, self._subject, self._take, queue=queue, headers=False)
            if self._link.is_up:
                await self._link.client.flush(timeout=_FLUSH_SECONDS)
        except (nats.errors.Error, OSError) as error:
            raise translate(error, f"subscribing to {self._subject!r}") from error

    def _take(self, message: Msg) -> None:
        if len(self._messages) >= _WAITING_MESSAGES:
            self._messages.popleft()
            self._dropped += 1
            if self._dropped == 1:
                _log.warning("messages dropped: nobody takes them", subject=self._subject)
        self._messages.append(self._lift(message))
        self._wake.set()

    def _lift(self, message: Msg) -> _T:
        raise NotImplementedError

    async def _iterate(self) -> AsyncIterator[_T]:
        while not self._closed and not self._link.closed:
            if self._messages:
                yield self._messages.popleft()
                continue
            self._wake.clear()
            await self._wake.wait()

    def __aiter__(self) -> AsyncIterator[_T]:
        return self._iterate()

    async def close(self) -> None:
        """See the port."""
        if self._closed:
            return
        self._closed = True
        self._link.off_change(self._wake.set)
        self._wake.set()
        if self._subscription is not None:
            with suppress(nats.errors.Error, OSError):
                await self._subscription.unsubscribe()


class LiveSubscription(_Incoming[Message]):
    """`runner.messaging.ports.Subscription` over core NATS."""

    async def start(self) -> None:
        """Listen; active when it returns."""
        await self._listen()

    def _lift(self, message: Msg) -> Message:
        return Message(message.subject, message.data)


class JetStreamRequests(_Incoming[Request]):
    """`runner.messaging.ports.Requests`."""

    async def start(self) -> None:
        """Listen as one of those who serve; active when it returns."""
        await self._listen(_SERVERS)

    def _lift(self, message: Msg) -> Request:
        return JetStreamRequest(self._link, message)


class JetStreamFeed:
    """`runner.messaging.ports.Feed`."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    async def publish(self, subject: str, data: bytes) -> None:
        """See the port; dropped while the connection is down or 8 MiB wait to be sent.

        Raises:
            runner.errors.NeverRetry: Too large.
        """
        self._link.check("publishing to", subject, data)
        if self._link.is_up and self._link.client.pending_data_size < _UNSENT_BYTES:
            await self._link.send(subject, data)

    async def subscribe(self, subject: str) -> Subscription:
        """See the port."""
        subscription = LiveSubscription(self._link, subject)
        await subscription.start()
        return subscription

    async def follow(self, subject: str, *, live: bool) -> Subscription:
        """See the port."""
        subscription = JournalSubscription(self._link, self._names.live.name, subject, live=live)
        await subscription.start()
        return subscription

    async def forget(self, subject: str) -> None:
        """See the port."""
        await purge(self._link, self._names.live.name, subject)

    async def request(self, subject: str, data: bytes, timeout: timedelta) -> bytes:  # noqa: ASYNC109 - the port's
        """See the port."""
        self._link.check("asking", subject, data)
        seconds = timeout.total_seconds()
        try:
            return (await self._link.ask(subject, data, None, seconds)).data
        except nats.errors.NoRespondersError as error:
            raise Unreachable(f"asking {subject!r}: nobody serves it", remedy="start an engine") from error
        except nats.errors.TimeoutError as error:
            raise Unreachable(f"asking {subject!r}: no answer within {seconds:g} s") from error
        except (nats.errors.Error, OSError) as error:
            raise translate(error, f"asking {subject!r}") from error

    async def serve(self, subject: str) -> Requests:
        """See the port."""
        requests = JetStreamRequests(self._link, subject)
        await requests.start()
        return requests
