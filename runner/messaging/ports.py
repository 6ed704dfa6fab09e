"""What the engine and the agents need of a bus.

Theory of operation
-------------------
Five small ports, made by one `Messaging` connection:

* `Log`: append-only, ordered per subject, compare-and-set on the subject's last sequence. Orchestration state is the
  fold of such a log, so this is the only place where two writers are told apart. Of the subjects below
  ``<prefix>.done`` (the archive) the newest entry alone is kept.
* `Queue`: work queues. A message stays until it is acknowledged; one that is not acknowledged within the consumer's
  ack wait is delivered again with its delivery count one higher. An acknowledgement is no fence: a late one, of an
  earlier delivery, is accepted and removes the message.
* `Documents`: small values by key with compare-and-set (definitions, secrets, tokens).
* `Blobs`: immutable bytes by their digest (definition bundles, module archives, large values).
* `Feed`: fire and forget to whoever listens now, request and reply, and a best-effort journal of it for logs.

Delivery is at least once. Messages may be delivered twice, late, and out of order across subjects. Within one subject
of a queue, first deliveries to one consumer are in order.

What survives
-------------
======================  ==============================================  =======================================
call returned           after a crash of any client                     after kill -9 of the server
======================  ==============================================  =======================================
Log.append              kept                                            kept
Queue.publish           kept until acknowledged                         kept until acknowledged
Delivery.ack            removed                                         may be delivered again
Documents.put           kept                                            kept
Blobs.put               kept, whole                                     kept, whole
Feed.publish            reached those listening, perhaps                journal: perhaps
======================  ==============================================  =======================================

A call that raised `Unreachable` may or may not have had its effect; all calls are safe to repeat: `Log.append` because
the record it would write twice fails its own compare-and-set and is then recognised, `Queue.publish` because its
message id is remembered for at least the dedupe window (two minutes) and consumers must tolerate duplicates anyway.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from runner.errors import Retry


class SequenceConflict(Retry):
    """Somebody else wrote first: the subject's (or key's) last sequence is not the expected one. Read again."""

    code = "sequence_conflict"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log. ``sequence`` grows along the subject, not by one."""

    subject: str
    sequence: int
    data: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Document:
    """One value of a document store at one revision."""

    key: str
    data: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a feed. ``sequence`` is 0 unless it came from the journal."""

    subject: str
    data: bytes
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """The bus's own figures of one consumer.

    Attributes:
        pending: Stored messages never yet delivered.
        unacknowledged: Delivered and not acknowledged, those that wait for their next delivery included.
    """

    pending: int
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond the contract; asked for here, never by the backend's name."""

    durable: bool
    max_message_bytes: int


class Log(Protocol):
    """Append-only entries per subject."""

    async def append(self, subject: str, data: bytes, *, expected: int | None = None) -> int:
        """Write one entry and return its sequence once it is durable.

        Args:
            subject: A full subject without wildcards.
            data: At most ``Capabilities.max_message_bytes``.
            expected: The subject's last sequence, 0 for a subject without entries; None writes unconditionally.

        Raises:
            SequenceConflict: The last sequence is another one, and the last entry is not ``data`` itself (when it is,
                an earlier try had succeeded and its sequence is returned).
            runner.errors.Unreachable: No answer in time, or no room on disk; the entry may have been written.
            runner.errors.NeverRetry: ``data`` is larger than the bus takes; the detail has both sizes.
        """
        ...

    async def last(self, subject: str) -> Entry | None:
        """The newest entry, read from the leader (read-your-writes), or None."""
        ...

    async def read(self, subject: str, *, start: int = 0) -> list[Entry]:
        """All entries with ``sequence >= start``, oldest first."""
        ...

    async def subjects(self, prefix: str) -> dict[str, int]:
        """Every subject below ``prefix`` (``tierform.run``) that has entries, with how many it has."""
        ...

    async def scan(self, pattern: str, *, start: int = 0, limit: int = 1024) -> list[Entry]:
        """Entries of all subjects that match (``*`` and ``>`` as wildcards) with ``sequence >= start``, oldest first.

        Up to about ``limit`` of them in a few round trips; none when there are none left, and the newest acknowledged
        one is never left out. Go on with ``start`` one above the last one's sequence.
        """
        ...

    async def purge(self, subject: str, *, through: int | None = None) -> None:
        """Remove the subject's entries, those up to the sequence ``through`` when that is given.

        Once all are gone its last sequence counts as 0 again.
        """
        ...

    async def remove(self, subject: str, sequence: int) -> None:
        """Remove one entry; none is no error. For letters and notes: never for a log that is folded."""
        ...


class Delivery(Protocol):
    """One delivery of one queued message."""

    @property
    def subject(self) -> str:
        """The subject it was published on."""
        ...

    @property
    def data(self) -> bytes:
        """Its body."""
        ...

    @property
    def count(self) -> int:
        """Which delivery this is, from 1."""
        ...

    async def ack(self) -> None:
        """Done: the message is removed. Not awaited by the server: a lost acknowledgement means another delivery."""
        ...

    async def nak(self, delay: timedelta = timedelta(0)) -> None:
        """Hand it back: it is delivered again after ``delay``."""
        ...

    async def in_progress(self) -> None:
        """Still working: the ack wait starts anew."""
        ...


class Consumer(Protocol):
    """One named durable consumer; many processes may fetch from the same."""

    async def fetch(self, batch: int, wait: timedelta) -> list[Delivery]:
        """Up to ``batch`` messages; returns as soon as there is at least one, and empty after ``wait`` without any.

        Raises:
            runner.errors.Unreachable: The connection or the consumer is gone for now; call again.
        """
        ...

    async def state(self) -> ConsumerState:
        """The bus's own figures."""
        ...

    async def close(self) -> None:
        """Stop fetching; the consumer itself and its messages stay."""
        ...


class Queue(Protocol):
    """Work queues over subjects."""

    async def publish(self, subject: str, data: bytes, *, message_id: str | None = None) -> None:
        """Store one message durably. The same ``message_id`` within the dedupe window is stored once.

        Raises:
            runner.errors.Unreachable: No answer in time; it may have been stored.
            runner.errors.NeverRetry: Too large; the detail has both sizes.
        """
        ...

    async def consumer(self, name: str, subject: str, *, ack_wait: timedelta, max_unacknowledged: int = -1) -> Consumer:
        """Make the durable consumer if there is none, and return it.

        Args:
            name: Unique in the queue; letters, digits, ``-``, ``_`` and ``=``.
            subject: A filter; filters of two consumers never overlap.
            ack_wait: How long a delivery may stay without a sign before it is delivered again.
            max_unacknowledged: Over all processes; -1 is no limit.
        """
        ...

    async def stored(self, pattern: str) -> list[Message]:
        """Every message that matches and was not acknowledged, oldest first; looking changes nothing."""
        ...

    async def discard(self, pattern: str) -> None:
        """Remove every message that matches, delivered or not."""
        ...


class Documents(Protocol):
    """Small values by key, in one named bucket. Keys are ``/``-separated segments of letters, digits, ``-_.=``."""

    async def get(self, key: str) -> Document | None:
        """The value as last written, or None when there is none or it was deleted."""
        ...

    async def put(self, key: str, data: bytes, *, expected: int | None = None) -> int:
        """Write and return the new revision.

        Raises:
            SequenceConflict: ``expected`` is given and is not the current revision (0: no such key).
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove; none is no error."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """Every live key that starts with ``prefix``, sorted."""
        ...


class Blobs(Protocol):
    """Immutable bytes by digest, ``sha256:<64 hex>``."""

    async def put(self, data: bytes) -> str:
        """Store and return the digest; storing the same bytes again costs a look-up."""
        ...

    async def get(self, digest: str) -> bytes:
        """The bytes, checked against the digest.

        Raises:
            runner.errors.UnknownThing: None of that digest, or what is stored was altered.
        """
        ...

    async def has(self, digest: str) -> bool:
        """Whether it is stored."""
        ...

    async def digests(self) -> list[str]:
        """The digest of everything stored, sorted."""
        ...


class Subscription(Protocol):
    """An async iterator of messages that is closed when no longer needed."""

    def __aiter__(self) -> AsyncIterator[Message]:
        """Messages in the order they came."""
        ...

    async def close(self) -> None:
        """End the iteration."""
        ...


class Requests(Protocol):
    """Incoming requests."""

    def __aiter__(self) -> "AsyncIterator[Request]":
        """Requests in the order they came."""
        ...

    async def close(self) -> None:
        """End the iteration."""
        ...


class Request(Protocol):
    """One incoming request."""

    @property
    def data(self) -> bytes:
        """Its body."""
        ...

    async def reply(self, data: bytes) -> None:
        """Answer it; once."""
        ...


class Feed(Protocol):
    """Fire and forget, request and reply, and a journal of the live subjects."""

    async def publish(self, subject: str, data: bytes) -> None:
        """Send to whoever listens now; never waits, never raises for a lost connection."""
        ...

    async def subscribe(self, subject: str) -> Subscription:
        """Messages from now on; ``*`` and ``>`` as wildcards. Active when this returns."""
        ...

    async def follow(self, subject: str, *, live: bool) -> Subscription:
        """The journal of a live subject from its first kept message; ``live`` goes on with new ones, else it ends."""
        ...

    async def forget(self, subject: str) -> None:
        """Remove what the journal keeps of a live subject."""
        ...

    async def request(self, subject: str, data: bytes, timeout: timedelta) -> bytes:  # noqa: ASYNC109 - the bus's own
        """Ask one of those who serve the subject.

        Raises:
            runner.errors.Unreachable: Nobody serves it, or no answer within ``timeout``.
        """
        ...

    async def serve(self, subject: str) -> Requests:
        """Take requests; each goes to one of all who serve the subject. Active when this returns."""
        ...


class Messaging(Protocol):
    """One connection to one bus."""

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do."""
        ...

    @property
    def log(self) -> Log:
        """Logs of orchestrations, responses and dead letters."""
        ...

    @property
    def queue(self) -> Queue:
        """Events and tasks."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Bytes by digest."""
        ...

    @property
    def feed(self) -> Feed:
        """Live events and requests."""
        ...

    def documents(self, bucket: str) -> Documents:
        """The document store of one bucket, made when first written."""
        ...

    async def close(self) -> None:
        """Flush and disconnect; idempotent."""
        ...
