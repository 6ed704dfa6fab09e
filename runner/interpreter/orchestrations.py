"""Orchestrations as they are stored: one log each, loaded by folding, extended by compare-and-set.

The log of an orchestration that ended a while ago is in the archive (see `runner.interpreter.archive`); reading finds it
there by itself. Compare-and-set on the last sequence tells two writers apart, but for a log that is empty, which may mean
that there is nothing or that it was archived. So before the first record of a log is written somebody must have looked
into the archive a moment ago; and whoever was frozen between the two looks again, and takes the record back.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from runner.engine.facts import Fact
from runner.engine.record import VERSION, Record, decode, encode, fold
from runner.engine.state import Orchestration, OrchestrationState
from runner.errors import NeverRetry
from runner.interpreter.archive import Archive, Head
from runner.messaging.large import MOST_BYTES, Large, mebibytes
from runner.messaging.ports import Entry, Messaging, SequenceConflict
from runner.protocol.subjects import Subjects
from runner.protocol.subjects import token as token_of

SNAPSHOT_EVERY = 64
_AT_ONCE = 32
_FRESH_SECONDS = 5.0
"""How old a look into the archive may be: far below the time after which an ended orchestration is archived."""
_LARGEST_RECORD_BYTES = 5 * MOST_BYTES
"""A last record has what the state holds up to four times: in its facts, in its snapshot, and as output in both."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An orchestration and where its log stands.

    Attributes:
        orchestration: None when there is no log yet.
        sequence: Bus sequence of the last record, 0 without one.
        number: That record's number.
        base: Bus sequence of the last record that holds a snapshot.
        unsnapped: Records since then.
        size_bytes: What the records since then have in all; the state is not larger, give or take its names.
        read_at: When an empty log was looked for in the archive, by the event loop's clock.
    """

    orchestration: Orchestration | None
    sequence: int = 0
    number: int = 0
    base: int = 0
    unsnapped: int = 0
    size_bytes: int = 0
    read_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list shows of an orchestration."""

    oid: str
    type: str
    correlation_id: str
    state: OrchestrationState
    created_millis: int
    state_millis: int

    @classmethod
    def of(cls, known: Orchestration | Head) -> "Summary":
        """The same of a whole one, or of an archived one's head."""
        return cls(known.oid, known.type, known.correlation_id, known.state, known.created_millis, known.state_millis)


class TooLarge(NeverRetry):
    """An orchestration would hold more than any may."""

    code = "too_large"


class Orchestrations:
    """Reads and extends logs.

    Args:
        messaging: The bus.
        subjects: Where the logs are.
        engine: Written into every record.
    """

    def __init__(self, messaging: Messaging, subjects: Subjects, engine: str) -> None:
        self._log = messaging.log
        self._large = Large(messaging)
        self.archive = Archive(messaging, subjects)
        self._subjects = subjects
        self._engine = engine

    async def load(self, oid: str) -> Loaded:
        """The state as of the last record; two or three reads of the bus."""
        return await self.load_token(token_of(oid))

    async def load_token(self, token: str) -> Loaded:
        """As `load`, for an id already encoded as a subject token."""
        read_at = asyncio.get_running_loop().time()
        last = await self._log.last(f"{self._subjects.prefix}.run.{token}")
        if last is None:
            return replace(await self._from_archive(token), read_at=read_at)
        data = await self._large.unwrap(last.data)
        record = decode(data)
        if record.snapshot is not None:
            return Loaded(record.snapshot, last.sequence, record.number, last.sequence, size_bytes=len(data))
        entries = await self._log.read(last.subject, start=record.base)
        if not entries:
            return await self.load_token(token)  # It was archived at this moment.
        texts = [await self._large.unwrap(entry.data) for entry in entries]
        records = [decode(text) for text in texts]
        sequence, number, base = entries[-1].sequence, records[-1].number, records[-1].base
        size, unsnapped = sum(map(len, texts)), len(records)
        if records[0].snapshot is None and records[0].number > 1:
            records = [record for _, record in await self._archived(token, below=records[0].number)] + records
        return Loaded(fold(records), sequence, number, base, unsnapped, size_bytes=size)

    async def _from_archive(self, token: str) -> Loaded:
        records = [record for _, record in await self._archived(token)]
        return Loaded(fold(records), number=records[-1].number) if records else Loaded(None)

    async def _archived(self, token: str, below: int | None = None) -> list[tuple[Entry, Record]]:
        """Archived records, those with a number below one when that is given."""
        archived = await self.archive.read(token)
        records = await self._decoded(archived.entries) if archived else []
        return [one for one in records if below is None or one[1].number < below]

    async def _decoded(self, entries: Sequence[Entry]) -> list[tuple[Entry, Record]]:
        return [(entry, decode(await self._large.unwrap(entry.data))) for entry in entries]

    async def append(
        self, loaded: Loaded, state: Orchestration, facts: Sequence[Fact], events: list[str], now: int
    ) -> Loaded:
        """Append one record and return where the log stands now.

        Raises:
            runner.messaging.ports.SequenceConflict: Another engine wrote first; load again and decide again.
            runner.errors.Unreachable: It may or may not have been written; load again.
            runner.errors.NeverRetry: The record, or the orchestration as a whole, is larger than anything may be.
        """
        record = Record(
            v=VERSION,
            number=loaded.number + 1,
            at_millis=now,
            facts=list(facts),  # type: ignore[arg-type] # Every fact is one of the union's.
            base=loaded.base,
            engine=self._engine,
            events=events,
        )
        if loaded.sequence == 0:
            loaded = await self._look_into_archive(loaded, state.oid)
        goes_on = loaded.sequence == 0 and loaded.number > 0  # From the archive: the log must not need it.
        has_snapshot = state.is_terminal or goes_on or loaded.unsnapped + 1 >= SNAPSHOT_EVERY
        data = encode(msgspec.structs.replace(record, snapshot=state) if has_snapshot else record)
        size = len(data) + (0 if has_snapshot else loaded.size_bytes)
        if size > MOST_BYTES:
            self._refuse_larger(state)
        doing = f"writing the log of orchestration '{state.oid}'"
        message = await self._large.wrap(data, doing, most=_LARGEST_RECORD_BYTES)
        sequence = await self._log.append(self._subjects.run(state.oid), message, expected=loaded.sequence)
        if loaded.sequence == 0:
            await self._take_back_if_late(loaded, state.oid, sequence)
        if has_snapshot:
            return Loaded(state, sequence, record.number, sequence, size_bytes=size)
        return replace(
            loaded,
            orchestration=state,
            sequence=sequence,
            number=record.number,
            unsnapped=loaded.unsnapped + 1,
            size_bytes=size,
        )

    async def _look_into_archive(self, loaded: Loaded, oid: str) -> Loaded:
        """Make sure that an empty log means what was loaded."""
        now = asyncio.get_running_loop().time()
        if now - loaded.read_at >= _FRESH_SECONDS:
            head = await self.archive.head(token_of(oid))
            if head is not None and head.number > loaded.number:
                raise SequenceConflict(f"appending to orchestration '{oid}': it has ended and was archived")
            loaded = replace(loaded, read_at=now)
        return loaded

    async def _take_back_if_late(self, loaded: Loaded, oid: str, sequence: int) -> None:
        try:
            await self._look_into_archive(loaded, oid)
        except SequenceConflict:
            await self._log.remove(self._subjects.run(oid), sequence)
            raise

    @staticmethod
    def _refuse_larger(state: Orchestration) -> None:
        """The records may hold what was overwritten since: the state decides, what it holds twice counted once."""
        values = {k: v for k, v in state.values.items() if k not in state.input or state.input[k] is not v}
        size = len(msgspec.json.encode(msgspec.structs.replace(state, values=values, output={})))
        if size > MOST_BYTES:
            raise TooLarge(
                f"orchestration '{state.oid}' would hold {mebibytes(size)}, the limit is {mebibytes(MOST_BYTES)}",
                remedy="keep large things elsewhere (a bucket, a registry) and hand on their address",
            )

    async def history(self, oid: str) -> list[tuple[Entry, Record]]:
        """Every record, oldest first, wherever it is."""
        found = await self._decoded(await self._log.read(self._subjects.run(oid)))
        if not found or found[0][1].number > 1:
            found = await self._archived(token_of(oid), below=found[0][1].number if found else None) + found
        return found

    async def hot_ids(self) -> list[str]:
        """Every orchestration that is not in the archive alone, as subject tokens."""
        prefix = f"{self._subjects.prefix}.run"
        return [subject[len(prefix) + 1 :] for subject in await self._log.subjects(prefix)]

    async def ids(self) -> list[str]:
        """Every orchestration, as subject tokens."""
        # The log first: what is archived between the two reads is then found twice, and not never.
        hot = await self.hot_ids()
        return [*hot, *(set(await self.archive.tokens()) - set(hot))]

    async def summaries(self) -> list[Summary]:
        """Every orchestration in short, in no order; archived ones are read many at a time."""
        hot = await self.hot_ids()
        found = {token: Summary.of(head) async for token, head in self.archive.heads()}
        for first in range(0, len(hot), _AT_ONCE):
            some = hot[first : first + _AT_ONCE]
            loaded = await asyncio.gather(*(self.load_token(token) for token in some))
            known = zip(some, loaded, strict=True)
            found |= {token: Summary.of(one.orchestration) for token, one in known if one.orchestration is not None}
        return list(found.values())

    async def archive_ended(self, token: str) -> bool:
        """Move the log of an orchestration that has ended into the archive; False when there is none that has.

        Raises:
            runner.errors.Retry: It was not moved, or not wholly; the log counts until it is. Safe to repeat.
        """
        subject = f"{self._subjects.prefix}.run.{token}"
        hot = await self._log.read(subject)
        if not hot:
            return False
        first, last = await self._decoded((hot[0], hot[-1]))
        older = await self._archived(token, below=first[1].number) if first[1].number > 1 else []
        state = last[1].snapshot
        if state is None or not state.is_terminal:
            return False  # The last record of a generation has a snapshot.
        await self.archive.write(token, [*(entry for entry, _ in older), *hot], last[1].number, state)
        await self._log.purge(subject, through=hot[-1].sequence)
        return True
