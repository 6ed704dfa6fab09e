"""Following the journal of a live subject: an ordered consumer that starts again wherever it broke off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from nats.aio.msg import Msg

from runner.errors import Unreachable
from runner.messaging.jetstream.link import Link, nanoseconds
from runner.messaging.jetstream.pull import Puller
from runner.messaging.jetstream.queue import reply_fields
from runner.messaging.jetstream.translation import NO_STREAM, translate_api
from runner.messaging.ports import Message

_BATCH = 256
_WAIT = timedelta(seconds=5)
_FORGET_AFTER = timedelta(seconds=30)
_PAUSE_SECONDS = 0.2


class JournalSubscription:
    """`runner.messaging.ports.Subscription` over the journal.

    Messages come in the order of the journal without gaps: each carries its number in the consumer, and a missing one
    makes the subscription start a new consumer after the last message that it gave.
    """

    def __init__(self, link: Link, stream: str, subject: str, *, live: bool) -> None:
        self._link = link
        self._stream = stream
        self._subject = subject
        self._live = live
        self._last = 0
        self._expected = 1
        self._puller: Puller | None = None
        self._pending = 0
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Make the consumer; what is published from now on will be seen."""
        await self._restart()

    async def _restart(self) -> None:
        await self._drop()
        answer = await self._link.api(
            f"following {self._subject!r}", f"CONSUMER.CREATE.{self._stream}", self._request_body()
        )
        error = answer.get("error")
        if error is not None:
            if error.get("err_code") == NO_STREAM and not self._live:
                self._pending = 0
                return
            raise translate_api(error, f"following {self._subject!r}")
        self._pending, self._expected = answer["num_pending"], 1
        self._puller = Puller(self._link, self._stream, answer["name"])
        await self._puller.start()

    def _request_body(self) -> dict[str, Any]:
        start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last + 1} if self._last else {}
        configuration = {
            "deliver_policy": "all",
            "filter_subject": self._subject,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": nanoseconds(_FORGET_AFTER),
            **start,
        }
        return {"stream_name": self._stream, "config": configuration}

    def __aiter__(self) -> AsyncIterator[Message]:
        """See the port."""
        return self._messages()

    async def _messages(self) -> AsyncIterator[Message]:
        while not self._closed.is_set() and (self._live or self._pending):
            for message in await self._next():
                if self._closed.is_set():
                    return
                _, sequence, number, self._pending = reply_fields(message.reply)
                if number != self._expected:
                    await self._drop()
                    break
                self._expected, self._last = number + 1, sequence
                yield Message(message.subject, message.data, sequence)

    async def _next(self) -> list[Msg]:
        try:
            if self._puller is None or self._puller.gone:
                await self._restart()
            if self._puller is None:
                return []
            fetch = asyncio.ensure_future(self._puller.fetch(_BATCH, _WAIT))
            closed = asyncio.ensure_future(self._closed.wait())
            try:
                await asyncio.wait({fetch, closed}, return_when=asyncio.FIRST_COMPLETED)
                return fetch.result() if fetch.done() else []
            finally:
                fetch.cancel()
                closed.cancel()
        except Unreachable:
            await self._drop()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._closed.wait()
            return []

    async def _drop(self) -> None:
        if self._puller is not None:
            await self._puller.stop()
            self._puller = None

    async def close(self) -> None:
        """See the port."""
        self._closed.set()
        await self._drop()
