"""The archive: the whole history of an ended orchestration in one entry.

Theory of operation
-------------------
``<prefix>.done.<id token>`` holds, of each archived orchestration, a head and its log, compressed. What makes the move
from the log safe at every step, with any number of engines at once:

1. The entry is written under compare-and-set, read back and compared. Its bytes follow from the log alone, so two who
   archive the same log write the same entry.
2. Only then are the log's records removed, up to the last one that is in the entry. A record that was appended
   meanwhile stays: the log then begins where the archive ends.

So an orchestration's history is what the archive has, then what the log has beyond it. Where both have a record the
log's counts; they are equal. A retry of an archived orchestration appends the next record to the empty log.

Format: the head as one line of JSON, a line feed, and the records: a JSON array of ``[bus sequence, microseconds since
1970, record]``, compressed by zlib. When that is larger than a message it is cut into parts, which are written before
the head to ``<prefix>.done.<id token>.<digest>.<index>``; a head alone makes them count.
"""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

import msgspec

from runner.engine.state import Orchestration, OrchestrationState
from runner.errors import InvalidUsage, NewerData
from runner.messaging.ports import Entry, Messaging, SequenceConflict
from runner.messaging.rules import ARCHIVE
from runner.protocol.subjects import Subjects

P = ParamSpec("P")
R = TypeVar("R")

VERSION = 1
_HEADROOM_BYTES = 64 * 1024
_THREAD_BYTES = 256 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Head(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What can be said of an archived orchestration without reading its log.

    Attributes:
        number: Number of the last record.
        digest: SHA-256 of the compressed records, hexadecimal.
        parts: How many parts they are cut into; 0 when they follow the head.
    """

    v: int
    oid: str
    type: str
    state: OrchestrationState
    created_millis: int
    state_millis: int
    number: int
    digest: str
    bundle: str = ""
    correlation_id: str = ""
    generation: int = 1
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Archived:
    """One archived orchestration: its head, its log's entries, and the archive entry's own sequence."""

    head: Head
    entries: list[Entry]
    sequence: int


_heads = msgspec.json.Decoder(Head)
_records = msgspec.json.Decoder(list[tuple[int, int, msgspec.Raw]])
_encoder = msgspec.json.Encoder()


class Archive:
    """Reads and writes the archive.

    Args:
        messaging: The bus.
        subjects: Names.
    """

    def __init__(self, messaging: Messaging, subjects: Subjects) -> None:
        self._log = messaging.log
        self._part_bytes = messaging.capabilities.max_message_bytes - _HEADROOM_BYTES
        self._subjects = subjects
        self.root = f"{subjects.prefix}.{ARCHIVE}"

    async def head(self, token: str) -> Head | None:
        """The head alone; ``token`` is the id as a subject token, here and below."""
        last = await self._log.last(f"{self.root}.{token}")
        return None if last is None else head_of(last.data)

    async def tokens(self) -> list[str]:
        """Every archived orchestration."""
        start = len(self.root) + 1
        return [name[start:] for name in await self._log.subjects(self.root) if "." not in name[start:]]

    async def heads(self) -> AsyncIterator[tuple[str, Head]]:
        """Every token with its head, those archived first coming first; a page is read at a time."""
        start = 0
        while page := await self._log.scan(f"{self.root}.*", start=start):
            for entry in page:
                yield entry.subject[len(self.root) + 1 :], head_of(entry.data)
            start = page[-1].sequence + 1

    async def read(self, token: str) -> Archived | None:
        """One archived orchestration.

        Raises:
            InvalidUsage: What is stored is damaged.
            NewerData: It was written by a newer version.
        """
        last = await self._log.last(f"{self.root}.{token}")
        if last is None:
            return None
        head = head_of(last.data)
        body = last.data.partition(b"\n")[2]
        for index in range(head.parts):
            part = await self._log.last(self._part(token, head, index))
            body += b"" if part is None else part.data
        if hashlib.sha256(body).hexdigest() != head.digest:
            raise InvalidUsage(f"reading the archive of orchestration '{head.oid}': it is damaged")
        subject = f"{self._subjects.prefix}.run.{token}"
        return Archived(head, await _in_thread(len(body), _unpack, body, subject), last.sequence)

    async def write(self, token: str, entries: Sequence[Entry], number: int, state: Orchestration) -> None:
        """Store the whole log of an ended orchestration, its last record being that ``number``; safe to repeat.

        Whole and durable when this returns.

        Raises:
            runner.messaging.ports.SequenceConflict: The archive knows more than ``entries``, or something else.
            runner.errors.Unreachable: It may or may not have been stored.
        """
        body = await _in_thread(sum(len(entry.data) for entry in entries), _pack, entries)
        head = Head(
            v=VERSION,
            oid=state.oid,
            type=state.type,
            state=state.state,
            created_millis=state.created_millis,
            state_millis=state.state_millis,
            number=number,
            digest=hashlib.sha256(body).hexdigest(),
            bundle=state.bundle,
            correlation_id=state.correlation_id,
            generation=state.generation,
            parts=-(-len(body) // self._part_bytes) if len(body) > self._part_bytes else 0,
        )
        for index in range(head.parts):
            part = body[index * self._part_bytes : (index + 1) * self._part_bytes]
            await self._log.append(self._part(token, head, index), part, expected=0)
        await self._write_head(token, head, b"" if head.parts else body)
        stored = await self.read(token)
        if stored is None or stored.head != head:
            raise SequenceConflict(f"archiving orchestration '{state.oid}': something else was archived meanwhile")

    async def _write_head(self, token: str, head: Head, body: bytes) -> None:
        subject, data = f"{self.root}.{token}", _encoder.encode(head) + b"\n" + body
        try:
            await self._log.append(subject, data, expected=0)
        except SequenceConflict:
            last = await self._log.last(subject)
            before = None if last is None else head_of(last.data)
            if last is None or before is None or before.number >= head.number:
                raise
            await self._log.append(subject, data, expected=last.sequence)
            await self._drop_parts(token, before)

    async def remove(self, token: str) -> None:
        """Forget one; safe to repeat after a crash."""
        last = await self._log.last(f"{self.root}.{token}")
        if last is not None:
            await self._drop_parts(token, head_of(last.data))
            await self._log.purge(last.subject, through=last.sequence)

    async def _drop_parts(self, token: str, head: Head) -> None:
        for index in range(head.parts):
            await self._log.purge(self._part(token, head, index))

    def _part(self, token: str, head: Head, index: int) -> str:
        return f"{self.root}.{token}.{head.digest[:16]}.{index}"


def head_of(data: bytes) -> Head:
    """The head of an archive entry.

    Raises:
        NewerData: It was written by a newer version.
        InvalidUsage: It is none.
    """
    line = data.partition(b"\n")[0]
    try:
        head = _heads.decode(line)
    except msgspec.DecodeError as error:
        raise InvalidUsage(f"reading an archived orchestration: {error}") from error
    if head.v > VERSION:
        raise NewerData(
            f"reading the archive of orchestration '{head.oid}': it has format version {head.v}, this program reads up "
            f"to {VERSION}",
            remedy="upgrade this program; the archive stays as it is",
        )
    return head


def _pack(entries: Sequence[Entry]) -> bytes:
    lines = [(entry.sequence, (entry.at - _EPOCH) // _MICROSECOND, msgspec.Raw(entry.data)) for entry in entries]
    return zlib.compress(_encoder.encode(lines), 6)


def _unpack(body: bytes, subject: str) -> list[Entry]:
    lines = _records.decode(zlib.decompress(body))
    return [Entry(subject, sequence, bytes(raw), _EPOCH + at * _MICROSECOND) for sequence, at, raw in lines]


async def _in_thread(size: int, call: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """Off the event loop when it is much."""
    return await asyncio.to_thread(call, *arguments, **options) if size > _THREAD_BYTES else call(*arguments, **options)
