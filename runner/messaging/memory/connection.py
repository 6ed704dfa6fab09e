"""One connection: alive or not, and every call's way through the faults."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from runner.errors import InvalidUsage, NeverRetry, Unreachable
from runner.messaging.memory.bus import MemoryBus
from runner.messaging.memory.faults import Outcome

T = TypeVar("T")

MAX_SUBJECT_BYTES = 3000


class Connection:
    """What the ports of one connection share."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.alive = True
        self._on_end: list[Callable[[], None]] = []

    def on_end(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the connection ends."""
        self._on_end.append(call)

    def end(self) -> None:
        """End it, as a process that dies does: at once, without a word to the bus."""
        if self.alive:
            self.alive = False
            for call in self._on_end:
                call()

    def check_alive(self, doing: str) -> None:
        """Raise Unreachable on an ended connection."""
        if not self.alive:
            raise Unreachable(f"{doing}: the connection is closed")

    async def call(self, doing: str, effect: Callable[[], T]) -> T:
        """Have ``effect`` on the bus, at once, late, or with a lost request or answer."""
        self.check_alive(doing)
        await asyncio.sleep(self.bus.faults.call_seconds())
        self.check_alive(doing)
        outcome = self.bus.faults.outcome()
        if outcome is Outcome.LOST_REQUEST:
            raise Unreachable(f"{doing}: no answer")
        result = effect()
        if outcome is Outcome.LOST_ANSWER:
            raise Unreachable(f"{doing}: no answer")
        return result

    async def signal(self, effect: Callable[[], None]) -> None:
        """Have ``effect`` unless the connection ended or the message is lost; nobody is told."""
        await asyncio.sleep(0)
        if self.alive and not self.bus.faults.happens(self.bus.faults.ack_lost):
            effect()

    def check(self, doing: str, subject: str, data: bytes) -> bytes:
        """The body as bytes of their own.

        Raises:
            NeverRetry: Too large a body or too long a subject.
        """
        limit = self.bus.capabilities.max_message_bytes
        if len(data) > limit:
            raise NeverRetry(f"{doing} {subject!r}: {len(data)} bytes are more than the {limit} the bus takes")
        if len(subject) > MAX_SUBJECT_BYTES:
            detail = f"{doing} {subject[:60]!r}…: a subject of {len(subject)} bytes, the bus takes {MAX_SUBJECT_BYTES}"
            raise InvalidUsage(detail, remedy="use a shorter id")
        return bytes(memoryview(data))
