"""nats-py's client with two of its edges taken off, and subscriptions without a task each."""

from collections.abc import Callable
from typing import Any, cast

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

_log = structlog.get_logger(__name__)


class ReconnectingClient(Client):
    """Reconnects after every error that the server sends, not only after a stale connection.

    nats-py 2.16 closes for good when the server says ``slow consumer`` or ``maximum connections exceeded`` to an
    established connection, which would end an agent for a passing cause. Can go when nats-py reconnects by itself.
    """

    async def _process_err(self, err_msg: str) -> None:
        text = err_msg.strip("'\" ").lower()
        if "permissions violation" in text or not self.is_connected:
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {text}")
        await self._error_cb(error)
        await self._process_op_err(error)


class _Sink:
    """Takes the place of the future that nats-py sets for each message of a subscription.

    A subscription with ``future=`` hands its messages over synchronously in the read loop: no queue with a limit beyond
    which messages are dropped, and no task. Measured with 64 publishes in flight and no disk flush: 27 µs of this
    process's time each, 32 with ``Client.request``, 40 with ``JetStreamContext.publish``.
    """

    def __init__(self, handle: Callable[[Msg], None]) -> None:
        self._handle = handle

    def cancelled(self) -> bool:
        return False

    def set_result(self, message: Msg) -> None:
        try:
            self._handle(message)
        except Exception:  # noqa: BLE001 - an exception would end nats-py's read loop, and the connection with it
            _log.exception("handling a message", subject=message.subject)


async def listen(client: Client, subject: str, handle: Callable[[Msg], None], *, queue: str = "") -> Subscription:
    """Subscribe; ``handle`` is called in the read loop for each message and must not block."""
    return await client.subscribe(subject, queue=queue, future=cast("Any", _Sink(handle)))
