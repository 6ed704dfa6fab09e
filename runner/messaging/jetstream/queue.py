"""Work queues: a stream that keeps each message until it is acknowledged, one durable consumer per filter."""

import asyncio
from datetime import timedelta
from typing import Any

from nats.aio.msg import Msg

from runner.messaging.jetstream.link import Link, nanoseconds
from runner.messaging.jetstream.log import purge
from runner.messaging.jetstream.publishing import Publisher
from runner.messaging.jetstream.pull import Puller
from runner.messaging.jetstream.reading import read_all
from runner.messaging.jetstream.topology import Names
from runner.messaging.ports import Consumer, ConsumerState, Delivery, Message
from runner.messaging.rules import queue_of

_MAX_WAITING = 2048
_LONG_REPLY = 11
_PAUSE_SECONDS = 0.05


def reply_fields(reply: str) -> tuple[int, int, int, int]:
    """Delivery count, stream sequence, consumer sequence and pending messages of an ack subject.

    ``$JS.ACK.<stream>.<consumer>.<count>.<sequence>.<consumer sequence>.<time>.<pending>``; the longer form, which a
    server may use, has the domain and the account before the stream and a random token at the end.
    """
    fields = reply.split(".")
    first = 6 if len(fields) >= _LONG_REPLY else 4
    return int(fields[first]), int(fields[first + 1]), int(fields[first + 2]), int(fields[first + 4])


class JetStreamDelivery:
    """`runner.messaging.ports.Delivery`; a sign that can't be sent because the connection is down is dropped."""

    __slots__ = ("_link", "_message", "count")

    def __init__(self, link: Link, message: Msg) -> None:
        self._link = link
        self._message = message
        self.count = reply_fields(message.reply)[0]

    @property
    def subject(self) -> str:
        """See the port."""
        return self._message.subject

    @property
    def data(self) -> bytes:
        """See the port."""
        return self._message.data

    async def ack(self) -> None:
        """See the port."""
        await self._link.send(self._message.reply, b"+ACK")

    async def nak(self, delay: timedelta = timedelta(0)) -> None:
        """See the port."""
        body = b'-NAK {"delay": %d}' % nanoseconds(delay) if delay > timedelta(0) else b"-NAK"
        await self._link.send(self._message.reply, body)

    async def in_progress(self) -> None:
        """See the port."""
        await self._link.send(self._message.reply, b"+WPI")


class JetStreamConsumer:
    """`runner.messaging.ports.Consumer`; made again when somebody deleted it."""

    def __init__(self, link: Link, stream: str, name: str, configuration: dict[str, Any]) -> None:
        self._link = link
        self._stream = stream
        self._name = name
        self._configuration = configuration
        self._puller = Puller(link, stream, name)

    async def start(self) -> None:
        """Make the durable consumer and listen."""
        await self._make()
        await self._puller.start()

    async def _make(self) -> None:
        if not self._link.settings.manage:
            return
        subject = f"CONSUMER.CREATE.{self._stream}.{self._name}.{self._configuration['filter_subject']}"
        body = {"stream_name": self._stream, "config": self._configuration, "action": ""}
        await self._link.api_or_raise(f"creating the consumer {self._name!r}", subject, body)

    async def fetch(self, batch: int, wait: timedelta) -> list[Delivery]:
        """See the port."""
        if self._puller.gone:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._make()
            self._puller.gone = False
        return [JetStreamDelivery(self._link, message) for message in await self._puller.fetch(batch, wait)]

    async def state(self) -> ConsumerState:
        """See the port."""
        subject = f"CONSUMER.INFO.{self._stream}.{self._name}"
        answer = await self._link.api_or_raise(f"asking about the consumer {self._name!r}", subject)
        return ConsumerState(pending=answer["num_pending"], unacknowledged=answer["num_ack_pending"])

    async def close(self) -> None:
        """See the port; what was delivered and not fetched is handed back, even when this is cancelled meanwhile."""
        handing_back = asyncio.ensure_future(self._hand_back())
        try:
            await asyncio.shield(handing_back)
        except asyncio.CancelledError:
            await asyncio.wait({handing_back})  # Else others would wait for the messages until the ack wait is over.
            raise

    async def _hand_back(self) -> None:
        for message in await self._puller.stop():
            await self._link.send(message.reply, b"-NAK")


class JetStreamQueue:
    """`runner.messaging.ports.Queue` over the event and the task stream."""

    def __init__(self, link: Link, publisher: Publisher, names: Names) -> None:
        self._link = link
        self._publisher = publisher
        self._names = names

    async def publish(self, subject: str, data: bytes, *, message_id: str | None = None) -> None:
        """See the port."""
        queue_of(self._names.prefix, subject)
        await self._publisher.publish("publishing to", subject, data, message_id=message_id)

    async def consumer(self, name: str, subject: str, *, ack_wait: timedelta, max_unacknowledged: int = -1) -> Consumer:
        """See the port."""
        configuration = {
            "durable_name": name,
            "name": name,
            "filter_subject": subject,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "ack_wait": nanoseconds(ack_wait),
            "max_ack_pending": max_unacknowledged,
            "max_deliver": -1,
            "max_waiting": _MAX_WAITING,
        }
        consumer = JetStreamConsumer(self._link, self._stream(subject), name, configuration)
        await consumer.start()
        return consumer

    async def stored(self, pattern: str) -> list[Message]:
        """See the port."""
        found = await read_all(self._link, self._stream(pattern), pattern, 0, f"looking at {pattern!r}")
        return [Message(one.subject, one.data, one.sequence) for one in found]

    async def discard(self, pattern: str) -> None:
        """See the port."""
        await purge(self._link, self._stream(pattern), pattern)

    def _stream(self, subject: str) -> str:
        kind = queue_of(self._names.prefix, subject)
        return (self._names.event if kind == "event" else self._names.task).name
