"""nats-py's client with two of its edges taken off, subscriptions without a task each, and a short way in and out.

The short way is for messages: it does what nats-py 2.16 does for them, in half the time, by touching its private parts;
everything else, and whatever is unusual, goes through nats-py's own code. A test compares both.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

_log = structlog.get_logger(__name__)

_MESSAGE, _MESSAGE_WITH_HEADERS, _LINE_END = b"MSG ", b"HMSG ", b"\r\n"
_LARGE_BYTES = 64 * 1024
_MESSAGE_FIELDS, _HEADER_FIELDS = 3, 4  # Without the reply subject.
_SUBJECT = re.compile(r"\S+")


class ReconnectingClient(Client):
    """Reconnects after every error that the server sends, not only after a stale connection.

    nats-py 2.16 closes for good when the server says ``slow consumer`` or ``maximum connections exceeded`` to an
    established connection, which would end an agent for a passing cause. Can go when nats-py reconnects by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ps = _ShortParser(self)

    async def _process_pong(self) -> None:
        """nats-py 2.16 drops the connection over the answer to a flush that was cancelled meanwhile."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def flush(self, timeout: int = 10) -> None:  # noqa: ASYNC109 - nats-py's signature
        """As nats-py's, without ``wait_for``: in Python 3.11 that swallows a cancellation that comes with the answer."""
        if not self.is_connected:
            await super().flush(timeout)
            return
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._send_ping(future)
                await future
        except TimeoutError:
            raise nats.errors.FlushTimeoutError from None

    async def _process_err(self, err_msg: str) -> None:
        text = err_msg.strip("'\" ").lower()
        if "permissions violation" in text or not self.is_connected:
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {text}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """As nats-py's, which see; header values that need care go through it."""
        size = len(payload)
        plain = headers is None or all(map(str.isprintable, headers.values()))
        usual = plain and size <= self._max_payload and self._status == Client.CONNECTED and _SUBJECT.fullmatch(subject)
        if not usual or self._flush_queue is None:
            await super().publish(subject, payload, reply, headers)
            return
        if headers is None:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), size, payload)
        else:
            lines = "".join([f"{key}: {value.strip()}\r\n" for key, value in headers.items()])
            head = f"NATS/1.0\r\n{lines}\r\n".encode()
            total = len(head) + size
            command = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (
                subject.encode(),
                reply.encode(),
                len(head),
                total,
                head,
                payload,
            )
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue.empty():
            await self._flush_pending()

    def deliver(self, sid: int, subject: bytes, reply: bytes, data: bytes) -> bool:
        """Hand a message over to its sink; False when it has none."""
        subscription = self._subs.get(sid)
        sink: Any = None if subscription is None else subscription._future  # noqa: SLF001 - see `_Sink`
        if type(sink) is not _Sink:
            return False
        sink.set_result(_Message(subject.decode(), reply.decode(), data))
        return True

    def wants_headers(self, sid: int) -> bool:
        """Whether the headers of messages that have a body are read."""
        subscription = self._subs.get(sid)
        sink: Any = None if subscription is None else subscription._future  # noqa: SLF001 - see `_Sink`
        return type(sink) is not _Sink or sink.headers


class _Message(Msg):
    """A message made at a third of the cost: the members that nobody reads here keep their defaults."""

    def __init__(self, subject: str, reply: str, data: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data


class _ShortParser(Parser):
    """Takes whole messages out of what was read without copying the rest each time; leaves all else to nats-py.

    What is left of an unfinished message waits in ``buf``, before its control line was looked at.
    """

    nc: ReconnectingClient

    async def parse(self, data: bytes = b"") -> None:
        if self.state == AWAITING_CONTROL_LINE:
            if self.buf:
                data = bytes(self.buf) + data
                self.buf.clear()
            try:
                position = await self._take_messages(data)
            except ValueError as error:
                raise nats.errors.ProtocolError("nats: malformed message") from error
            if position < 0:
                return
            data = data[position:]
        if data:
            await super().parse(data)

    async def _take_messages(self, data: bytes) -> int:
        """Take what is whole; where something else begins, or -1 when nothing else is there or may be yet."""
        position, end = 0, len(data)
        while position < end:
            with_headers = data.startswith(_MESSAGE_WITH_HEADERS, position)
            if not with_headers and not data.startswith(_MESSAGE, position):
                return position
            line_end = data.find(_LINE_END, position)
            fields = data[position:line_end].split()[1:] if line_end > 0 else []
            if not fields:
                break
            body, needed = line_end + 2, int(fields[-1])
            following = body + needed + 2
            if following > end:
                if needed > _LARGE_BYTES:
                    return position  # nats-py collects it without beginning anew with each part.
                break
            await self._take(fields, data, body, needed, with_headers=with_headers)
            position = following
        self.buf += data[position:]
        return -1

    async def _take(self, fields: list[bytes], data: bytes, start: int, size: int, *, with_headers: bool) -> None:
        head = int(fields[-2]) if with_headers else 0
        reply = fields[2] if len(fields) > (_HEADER_FIELDS if with_headers else _MESSAGE_FIELDS) else b""
        subject, sid, end = fields[0], int(fields[1]), start + size
        if (not head or (size > head and not self.nc.wants_headers(sid))) and self.nc.deliver(
            sid, subject, reply, data[start + head : end]
        ):
            return
        await self.nc._process_msg(sid, subject, reply, data[start + head : end], data[start : start + head])  # noqa: SLF001


class _Sink:
    """Takes the place of the future that nats-py sets for each message of a subscription.

    A subscription with ``future=`` hands its messages over synchronously in the read loop: no queue with a limit beyond
    which messages are dropped, and no task. Requests become about a third cheaper.
    """

    def __init__(self, handle: Callable[[Msg], None], *, headers: bool) -> None:
        self._handle = handle
        self.headers = headers

    def cancelled(self) -> bool:
        return False

    def set_result(self, message: Msg) -> None:
        try:
            self._handle(message)
        except Exception:  # noqa: BLE001 - an exception would end nats-py's read loop, and the connection with it
            _log.exception("handling a message", subject=message.subject)


async def listen(
    client: Client, subject: str, handle: Callable[[Msg], None], *, queue: str = "", headers: bool = True
) -> Subscription:
    """Subscribe; ``handle`` is called in the read loop for each message and must not block.

    Args:
        client: The connection.
        subject: May have wildcards.
        handle: Takes a message.
        queue: Shared with others of the same name: each message goes to one of them.
        headers: Whether headers are read of messages that have a body; a status has none.
    """
    return await client.subscribe(subject, queue=queue, future=cast("Any", _Sink(handle, headers=headers)))
