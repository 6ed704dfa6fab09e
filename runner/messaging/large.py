"""Messages of any size: what is larger than the bus takes goes to the blobs, and its digest travels instead.

``{"v":1,"blob":"sha256:…","bytes":123456}`` stands for a message of that many bytes. Everything that may grow passes
through here: events, tasks, records of a log, responses.
"""

from typing import Final

import msgspec

from runner.errors import NeverRetry
from runner.messaging.ports import Messaging

MOST_BYTES: Final = 64 * 1024 * 1024
"""No message, and no orchestration as a whole, is larger."""
_BEGINNING: Final = b'{"v":1,"blob":"'


class _Ticket(msgspec.Struct, frozen=True):
    v: int
    blob: str
    bytes: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Ticket)


def mebibytes(size: int) -> str:
    """``12.5 MiB``."""
    return f"{size / (1024 * 1024):.1f} MiB"


def is_ticket(data: bytes) -> bool:
    """Whether the message stands for a larger one."""
    return data.startswith(_BEGINNING)


class Large:
    """Wraps and unwraps messages.

    Args:
        messaging: The bus and its limit.
    """

    def __init__(self, messaging: Messaging) -> None:
        self._blobs = messaging.blobs
        self._limit = messaging.capabilities.max_message_bytes

    def fits(self, data: bytes) -> bool:
        """Whether the message can travel as it is."""
        return len(data) <= self._limit

    async def wrap(self, data: bytes, doing: str, *, most: int = MOST_BYTES) -> bytes:
        """The message, or what stands for it once it is stored.

        Args:
            data: The message.
            doing: What is being done, for the error.
            most: The limit in bytes.

        Raises:
            NeverRetry: It is larger than anything may be; the detail has both sizes.
            runner.errors.Unreachable: The store did not answer.
        """
        if self.fits(data):
            return data
        if len(data) > most:
            raise NeverRetry(
                f"{doing}: it has {mebibytes(len(data))}, the limit is {mebibytes(most)}",
                remedy="keep large things elsewhere (a bucket, a registry) and hand on their address",
            )
        return _encoder.encode(_Ticket(1, await self._blobs.put(data), len(data)))

    async def unwrap(self, data: bytes) -> bytes:
        """The message that ``data`` is, or stands for.

        Raises:
            runner.errors.UnknownThing: What it stands for is not stored.
            runner.errors.Unreachable: The store did not answer.
        """
        if not is_ticket(data):
            return data
        try:
            ticket = _decoder.decode(data)
        except msgspec.DecodeError:
            return data
        return await self._blobs.get(ticket.blob)
