"""Work queues in memory: what a JetStream work-queue stream and its durable consumers do, in the loop's time."""

import asyncio
import heapq
from collections import deque
from dataclasses import dataclass, field

from runner.errors import Refused
from runner.messaging.memory.faults import Faults
from runner.messaging.rules import matches, overlap

DEDUPE_SECONDS = 120.0
FLUSH_SECONDS = 0.1
"""How old an acknowledgement must be to survive a crash of the server."""


@dataclass(slots=True)
class Queued:
    """One stored message."""

    sequence: int
    subject: str
    data: bytes
    count: int = 0


@dataclass(slots=True)
class DurableConsumer:
    """State of one durable consumer.

    A message is in ``fresh`` until its first delivery, then in ``deadlines`` (delivered, or handed back with a delay)
    and at the end of that time in ``again``.
    """

    name: str
    pattern: str
    ack_wait_seconds: float
    max_unacknowledged: int
    messages: dict[int, Queued] = field(default_factory=dict)
    fresh: deque[int] = field(default_factory=deque)
    again: deque[int] = field(default_factory=deque)
    deadlines: dict[int, float] = field(default_factory=dict)
    timers: list[tuple[float, int]] = field(default_factory=list)
    unacknowledged: set[int] = field(default_factory=set)
    waiters: "dict[asyncio.Future[None], None]" = field(default_factory=dict)
    removed: deque[tuple[float, Queued]] = field(default_factory=deque)

    def add(self, message: Queued, available_at: float | None) -> None:
        """Take a new message, held back until ``available_at`` when that is given."""
        self.messages[message.sequence] = message
        if available_at is None:
            self.fresh.append(message.sequence)
            self.wake()
        else:
            self.set_timer(message.sequence, available_at)

    def set_timer(self, sequence: int, at: float) -> None:
        """The message becomes ready at this time of the loop."""
        self.deadlines[sequence] = at
        heapq.heappush(self.timers, (at, sequence))
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def expire(self, now: float) -> None:
        """Make ready what is due."""
        while self.timers and self.timers[0][0] <= now:
            at, sequence = heapq.heappop(self.timers)
            if self.deadlines.get(sequence) == at:
                self._make_ready(sequence)

    def _make_ready(self, sequence: int) -> None:
        self.deadlines.pop(sequence, None)
        self.unacknowledged.discard(sequence)
        self.again.append(sequence)

    def next_due(self) -> float | None:
        """When `expire` has something to do next."""
        while self.timers and self.deadlines.get(self.timers[0][1]) != self.timers[0][0]:
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    def take(self, now: float, faults: Faults) -> Queued | None:
        """The next message, counted as delivered; None when none is ready or too many are unacknowledged."""
        self.expire(now)
        if 0 <= self.max_unacknowledged <= len(self.unacknowledged):
            return None
        sequence = self._next(faults)
        if sequence is None:
            return None
        message = self.messages[sequence]
        message.count += 1
        self.unacknowledged.add(sequence)
        self.set_timer(sequence, now if faults.happens(faults.duplicated) else now + self.ack_wait_seconds)
        return message

    def _next(self, faults: Faults) -> int | None:
        if self.again:
            return self.again.popleft()
        if not self.fresh:
            return None
        position = faults.position(len(self.fresh))
        sequence = self.fresh[position]
        del self.fresh[position]
        return sequence

    def remove(self, sequence: int, now: float) -> None:
        """It was acknowledged, by whichever delivery."""
        message = self.messages.pop(sequence, None)
        if message is None:
            return
        self.removed.append((now, message))
        while self.removed[0][0] < now - FLUSH_SECONDS:
            self.removed.popleft()
        if self.deadlines.pop(sequence, None) is None:
            self.again.remove(sequence)  # its ack wait was over already; what was delivered once is never in fresh
        self.unacknowledged.discard(sequence)
        self.wake()

    def crash(self, now: float) -> None:
        """The server died and came back: the newest acknowledgements are forgotten, and who holds what with them."""
        for at, message in self.removed:
            if at >= now - FLUSH_SECONDS:
                self.messages[message.sequence] = message
                self.again.append(message.sequence)
        self.removed.clear()
        self.wake()

    def hand_back(self, sequence: int, at: float | None) -> None:
        """It was handed back: ready at once, or ``at`` that time."""
        if sequence not in self.unacknowledged:
            return
        if at is None:
            self._make_ready(sequence)
            self.wake()
        else:
            self.set_timer(sequence, at)

    def extend(self, sequence: int, now: float) -> None:
        """It is still worked on."""
        if sequence in self.unacknowledged:
            self.set_timer(sequence, now + self.ack_wait_seconds)


class QueueStore:
    """All messages of one queue (events or tasks) and its consumers."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._sequence = 0
        self._unclaimed: dict[int, Queued] = {}
        self._ids: dict[str, tuple[float, int]] = {}
        self.consumers: dict[str, DurableConsumer] = {}

    def publish(self, subject: str, data: bytes, message_id: str | None, now: float) -> None:
        """Store one message, unless its id is remembered."""
        if message_id is not None:
            if self._is_known(message_id, now):
                return
            self._ids[message_id] = (now, self._sequence + 1)
        self._sequence += 1
        message = Queued(self._sequence, subject, data)
        hold = self._faults.hold_seconds()
        for consumer in self.consumers.values():
            if matches(consumer.pattern, subject):
                consumer.add(message, now + hold if hold else None)
                return
        self._unclaimed[message.sequence] = message

    def _is_known(self, message_id: str, now: float) -> bool:
        while self._ids:
            oldest = next(iter(self._ids))
            if self._ids[oldest][0] + DEDUPE_SECONDS > now:
                break
            del self._ids[oldest]
        return message_id in self._ids

    def crash(self, now: float) -> None:
        """The server died and came back: it knows the message ids of what it stores, and no others."""
        stored = set(self._unclaimed)
        for consumer in self.consumers.values():
            stored |= consumer.messages.keys()
            consumer.crash(now)
        self._ids = {name: (at, sequence) for name, (at, sequence) in self._ids.items() if sequence in stored}

    def consumer(self, name: str, pattern: str, ack_wait_seconds: float, max_unacknowledged: int) -> DurableConsumer:
        """Make a consumer, or change the settings of the one of that name."""
        consumer = self.consumers.get(name)
        if consumer is not None and consumer.pattern == pattern:
            consumer.ack_wait_seconds, consumer.max_unacknowledged = ack_wait_seconds, max_unacknowledged
            return consumer
        for other in self.consumers.values():
            if other.name == name or overlap(other.pattern, pattern):
                detail = f"creating the consumer {name!r} on {pattern!r}: {other.name!r} has {other.pattern!r} already"
                raise Refused(detail)
        consumer = self.consumers[name] = DurableConsumer(name, pattern, ack_wait_seconds, max_unacknowledged)
        for sequence, message in tuple(self._unclaimed.items()):
            if matches(pattern, message.subject):
                consumer.add(self._unclaimed.pop(sequence), None)
        return consumer

    def stored(self, pattern: str) -> list[Queued]:
        """What is stored and matches, oldest first."""
        everything = [self._unclaimed, *(consumer.messages for consumer in self.consumers.values())]
        found = [message for some in everything for message in some.values() if matches(pattern, message.subject)]
        return sorted(found, key=lambda message: message.sequence)

    def discard(self, pattern: str, now: float) -> None:
        """Remove what is stored and matches."""
        for message in self.stored(pattern):
            self._unclaimed.pop(message.sequence, None)
            for consumer in self.consumers.values():
                if message.sequence in consumer.fresh:
                    consumer.fresh.remove(message.sequence)
                    del consumer.messages[message.sequence]
                else:
                    consumer.remove(message.sequence, now)
