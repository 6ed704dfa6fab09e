"""Pulling messages of one consumer, without the round trips of nats-py's ``fetch``.

One subscription lives as long as the `Puller`. At most one pull request is open at the server at a time; it asks for
``batch`` messages and expires after ``wait``. A fetch returns with the first messages; the rest of its pull stays open,
and what arrives for it waits in the buffer for the next fetch, so that nothing is lost and nothing is asked for twice.

A pull is over when all its messages came, when the server says so by a status message, when the connection was lost, or
when neither messages nor heartbeats came for too long (a consumer whose leader went away).

======  ===============================================================
status  meaning
======  ===============================================================
100     heartbeat: the pull is alive
404     no messages (of a pull that does not wait); also no such consumer
408     the pull expired
409     the consumer was deleted, or its leader moved: pull again
503     nobody answers: JetStream or the consumer is not there (yet)
======  ===============================================================
"""

import asyncio
from collections import deque
from contextlib import suppress
from datetime import timedelta

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from runner.errors import Unreachable
from runner.messaging.jetstream.client import listen
from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.translation import REACH

_PAUSE_SECONDS = 0.05
_HEARTBEAT_SECONDS = 1.0
_MISSED_HEARTBEATS = 2.5
_GRACE_SECONDS = 1.0
_DRAIN_SECONDS = 2.0


class Puller:
    """Messages of one consumer.

    Args:
        link: The connection.
        stream: The stream's name.
        consumer: The consumer's name.
    """

    def __init__(self, link: Link, stream: str, consumer: str) -> None:
        self._link = link
        self._name = consumer
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = link.client.new_inbox()
        self._subscription: Subscription | None = None
        self._buffer: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._open = 0  # messages that the open pull may still bring; 0 when none is open
        self._pull = 0  # number of the newest pull
        self._silent_after = 0.0
        self._losses = 0
        self.gone = False  # the server said that there is no such consumer
        self._unanswered = False

    async def start(self) -> None:
        """Listen for messages."""
        self._subscription = await listen(self._link.client, self._inbox + ".*", self._on_message, headers=False)
        self._link.on_change(self._wake.set)

    async def fetch(self, batch: int, wait: timedelta) -> list[Msg]:
        """Up to ``batch`` messages as soon as there is one; none when ``wait`` is over or the consumer is `gone`.

        Raises:
            Unreachable: No connection, or nobody answers, at the end of ``wait``.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        while not self._buffer:
            left = end - loop.time()
            if left <= 0 or self.gone or self._link.closed:
                self._raise_if_unreachable()
                return []
            await self._step(batch, left)
        return [self._buffer.popleft() for _ in range(min(batch, len(self._buffer)))]

    async def _step(self, batch: int, left: float) -> None:
        """Have a pull open, and wait for any news."""
        loop = asyncio.get_running_loop()
        if not self._link.is_up:
            await self._link.wait_up(left)
            return
        if self._unanswered:
            self._unanswered = False
            await asyncio.sleep(min(_PAUSE_SECONDS, left))
        self._wake.clear()
        if not self._is_open(loop.time()) and not await self._request(batch, left):
            self._wake.set()
            await asyncio.sleep(min(_PAUSE_SECONDS, left))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(min(left, self._silent_after - loop.time()), 0.001)):
                await self._wake.wait()

    def _is_open(self, now: float) -> bool:
        return self._open > 0 and self._losses == self._link.losses and now < self._silent_after

    async def _request(self, batch: int, seconds: float) -> bool:
        self._pull += 1
        self._open, self._losses = batch, self._link.losses
        body = {"batch": batch, "expires": max(int(seconds * 1e9), 1_000_000)}
        self._silent_after = asyncio.get_running_loop().time() + seconds + _GRACE_SECONDS
        if seconds > 2 * _HEARTBEAT_SECONDS:
            body["idle_heartbeat"] = int(_HEARTBEAT_SECONDS * 1e9)
            self._heard()
        sent = await self._link.send(self._subject, orjson.dumps(body), f"{self._inbox}.{self._pull}")
        if not sent:
            self._open = 0
        return sent

    def _heard(self) -> None:
        silence = _HEARTBEAT_SECONDS * _MISSED_HEARTBEATS
        self._silent_after = asyncio.get_running_loop().time() + silence

    def _on_message(self, message: Msg) -> None:
        status = message.headers.get("Status") if message.headers and not message.data else None
        if status is None or not message.subject.startswith(self._inbox):
            self._buffer.append(message)
            self._open = max(self._open - 1, 0)
            self._unanswered = False
        elif status == "100":
            self._heard()
            return
        elif message.subject == f"{self._inbox}.{self._pull}":
            self._end(status, (message.headers or {}).get(Header.DESCRIPTION, "").lower())
        self._wake.set()

    def _end(self, status: str, description: str) -> None:
        self._open = 0
        self._unanswered = status == "503"
        self.gone = (status == "404" and "consumer" in description) or "deleted" in description

    def _raise_if_unreachable(self) -> None:
        self.gone = self.gone or self._unanswered
        if self.gone:
            raise Unreachable(f"fetching from the consumer {self._name!r}: there is no such consumer", remedy=REACH)
        if not self._link.is_up:
            raise Unreachable(f"fetching from the consumer {self._name!r}: no connection", remedy=REACH)

    async def stop(self) -> list[Msg]:
        """Stop listening and return what was delivered and not fetched, also what was still on its way."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._link.off_change(self._wake.set)
            with suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    # Not unsubscribe: it drops at once what the server sent before it heard of it.
                    await (subscription.drain() if self._link.is_up else subscription.unsubscribe())  # type: ignore[no-untyped-call]
        left = list(self._buffer)
        self._buffer.clear()
        return left
