"""Orchestrations as they are stored: one log each, loaded by folding, extended by compare-and-set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from runner.engine.facts import Fact
from runner.engine.record import VERSION, Record, decode, encode, fold
from runner.engine.state import Orchestration
from runner.messaging.ports import Entry, Messaging
from runner.protocol.subjects import Subjects

SNAPSHOT_EVERY = 64
_HEADROOM_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """An orchestration and where its log stands.

    Attributes:
        orchestration: None when there is no log yet.
        sequence: Bus sequence of the last record, 0 without one.
        number: That record's number.
        base: Bus sequence of the last record that holds a snapshot.
        unsnapped: Records since then.
    """

    orchestration: Orchestration | None
    sequence: int = 0
    number: int = 0
    base: int = 0
    unsnapped: int = 0


class Orchestrations:
    """Reads and extends logs.

    Args:
        messaging: The bus.
        subjects: Where the logs are.
        engine: Written into every record.
    """

    def __init__(self, messaging: Messaging, subjects: Subjects, engine: str) -> None:
        self._log = messaging.log
        self._limit = messaging.capabilities.max_message_bytes
        self._subjects = subjects
        self._engine = engine

    async def load(self, oid: str) -> Loaded:
        """The state as of the last record; two reads of the bus at the most."""
        last = await self._log.last(self._subjects.run(oid))
        return await self._from_last(last) if last else Loaded(None)

    async def _from_last(self, last: Entry) -> Loaded:
        record = decode(last.data)
        if record.snapshot is not None:
            return Loaded(record.snapshot, last.sequence, record.number, last.sequence)
        entries = await self._log.read(last.subject, start=record.base)
        records = [decode(entry.data) for entry in entries]
        state = fold(records)
        return Loaded(state, entries[-1].sequence, records[-1].number, records[-1].base, len(records))

    async def append(
        self, loaded: Loaded, state: Orchestration, facts: Sequence[Fact], events: list[str], now: int
    ) -> Loaded:
        """Append one record and return where the log stands now.

        Raises:
            runner.messaging.ports.SequenceConflict: Another engine wrote first; load again and decide again.
            runner.errors.Unreachable: It may or may not have been written; load again.
            runner.errors.NeverRetry: The record is larger than the bus takes.
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
        data, has_snapshot = self._encoded(record, state, loaded.unsnapped)
        sequence = await self._log.append(self._subjects.run(state.oid), data, expected=loaded.sequence)
        if has_snapshot:
            return Loaded(state, sequence, record.number, sequence)
        return replace(
            loaded, orchestration=state, sequence=sequence, number=record.number, unsnapped=loaded.unsnapped + 1
        )

    def _encoded(self, record: Record, state: Orchestration, unsnapped: int) -> tuple[bytes, bool]:
        if state.is_terminal or unsnapped + 1 >= SNAPSHOT_EVERY:
            data = encode(msgspec.structs.replace(record, snapshot=state))
            if len(data) <= self._limit - _HEADROOM_BYTES:
                return data, True
        return encode(record), False

    async def history(self, oid: str) -> list[tuple[Entry, Record]]:
        """Every record of the log, oldest first."""
        entries = await self._log.read(self._subjects.run(oid))
        return [(entry, decode(entry.data)) for entry in entries]

    async def ids(self) -> list[str]:
        """Every orchestration that has a log, as subject tokens."""
        prefix = f"{self._subjects.prefix}.run"
        return [subject[len(prefix) + 1 :] for subject in await self._log.subjects(prefix)]

    async def load_token(self, token: str) -> Loaded:
        """As `load`, for an id already encoded as a subject token."""
        last = await self._log.last(f"{self._subjects.prefix}.run.{token}")
        return await self._from_last(last) if last else Loaded(None)
