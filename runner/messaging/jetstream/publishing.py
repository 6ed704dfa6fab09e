"""Acknowledged publishes: stored when they return."""

import hashlib
from typing import Any

from runner.errors import TierformError
from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.translation import translate_api
from runner.messaging.ports import SequenceConflict

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"
_LONGEST_ID = 256


class Publisher:
    """Publishes into streams over one link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._own = link.client.new_inbox()
        self._count = 0

    async def publish(self, doing: str, subject: str, data: bytes, *, message_id: str | None = None) -> int:
        """Store one message and return its sequence; repeated tries store it once."""
        headers = {MESSAGE_ID: self.new_id() if message_id is None else _short(message_id)}
        sequence, _ = await self.put(doing, subject, data, headers)
        return sequence

    async def put(self, doing: str, subject: str, data: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Store one message under conditions given as headers.

        Returns:
            Its sequence, and whether it took more than one try.

        Raises:
            Conflict: The expected sequence is another one; says whether an earlier try may have been stored.
            runner.errors.TierformError: See `runner.messaging.jetstream.translation`.
        """
        self._link.check(doing, subject, data)
        answer, repeated = await self._link.call(doing, subject, data, headers)
        if "error" not in answer:
            return answer["seq"], repeated
        raise _failure(answer["error"], f"{doing} {subject!r}", repeated=repeated)

    def new_id(self) -> str:
        """A message id that nobody else uses."""
        self._count += 1
        return f"{self._own}.{self._count}"


class Conflict(SequenceConflict):
    """A sequence conflict that remembers whether an earlier try of the same call may have been stored."""

    def __init__(self, detail: str, *, repeated: bool) -> None:
        super().__init__(detail)
        self.repeated = repeated


def _failure(error: dict[str, Any], doing: str, *, repeated: bool) -> TierformError:
    failure = translate_api(error, doing)
    return Conflict(failure.detail, repeated=repeated) if isinstance(failure, SequenceConflict) else failure


def _short(message_id: str) -> str:
    """The id itself, or its digest when it is long or can't stand in a header."""
    if len(message_id) <= _LONGEST_ID and message_id.isascii() and message_id.isprintable() and message_id.strip():
        return message_id
    return hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()
