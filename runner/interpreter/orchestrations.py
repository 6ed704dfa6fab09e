"""Orchestrations as they are stored: one log each, loaded by folding, extended by compare-and-set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from runner.engine.facts import Fact
from runner.engine.record import VERSION, Record, decode, encode, fold
from runner.engine.state import Orchestration
from runner.errors import NeverRetry
from runner.messaging.large import MOST_BYTES, Large, mebibytes
from runner.messaging.ports import Entry, Messaging
from runner.protocol.subjects import Subjects

SNAPSHOT_EVERY = 64
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
    """

    orchestration: Orchestration | None
    sequence: int = 0
    number: int = 0
    base: int = 0
    unsnapped: int = 0
    size_bytes: int = 0


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
        self._subjects = subjects
        self._engine = engine

    async def load(self, oid: str) -> Loaded:
        """The state as of the last record; two reads of the bus at the most."""
        last = await self._log.last(self._subjects.run(oid))
        return await self._from_last(last) if last else Loaded(None)

    async def _from_last(self, last: Entry) -> Loaded:
        data = await self._large.unwrap(last.data)
        record = decode(data)
        if record.snapshot is not None:
            return Loaded(record.snapshot, last.sequence, record.number, last.sequence, size_bytes=len(data))
        entries = await self._log.read(last.subject, start=record.base)
        texts = [await self._large.unwrap(entry.data) for entry in entries]
        records = [decode(text) for text in texts]
        size = sum(map(len, texts))
        return Loaded(
            fold(records), entries[-1].sequence, records[-1].number, records[-1].base, len(records), size_bytes=size
        )

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
        has_snapshot = state.is_terminal or loaded.unsnapped + 1 >= SNAPSHOT_EVERY
        data = encode(msgspec.structs.replace(record, snapshot=state) if has_snapshot else record)
        size = len(data) + (0 if has_snapshot else loaded.size_bytes)
        if size > MOST_BYTES:
            self._refuse_larger(state)
        doing = f"writing the log of orchestration '{state.oid}'"
        message = await self._large.wrap(data, doing, most=_LARGEST_RECORD_BYTES)
        sequence = await self._log.append(self._subjects.run(state.oid), message, expected=loaded.sequence)
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
        """Every record of the log, oldest first."""
        entries = await self._log.read(self._subjects.run(oid))
        return [(entry, decode(await self._large.unwrap(entry.data))) for entry in entries]

    async def ids(self) -> list[str]:
        """Every orchestration that has a log, as subject tokens."""
        prefix = f"{self._subjects.prefix}.run"
        return [subject[len(prefix) + 1 :] for subject in await self._log.subjects(prefix)]

    async def load_token(self, token: str) -> Loaded:
        """As `load`, for an id already encoded as a subject token."""
        last = await self._log.last(f"{self._subjects.prefix}.run.{token}")
        return await self._from_last(last) if last else Loaded(None)
