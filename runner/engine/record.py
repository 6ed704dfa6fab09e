"""The entries of an orchestration's log, and their fold."""

from collections.abc import Sequence

import msgspec

from runner.engine.facts import AnyFact, Created, Fact
from runner.engine.folding import apply, create
from runner.engine.state import Orchestration
from runner.errors import InvalidUsage, NewerData

VERSION = 1


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One transition.

    Attributes:
        number: From 1 along the log.
        base: Bus sequence of the newest earlier record with a snapshot; 0 when the log must be read from its start.
        engine: Which engine wrote it.
        events: Ids of the events it took.
        facts: What happened, in order.
        snapshot: The state after ``facts``; in every so manieth record and in the last one of a generation.
    """

    v: int
    number: int
    at_millis: int
    facts: list[AnyFact]
    base: int = 0
    engine: str = ""
    events: list[str] = []
    snapshot: Orchestration | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """The record as JSON."""
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """A record.

    Raises:
        NewerData: It was written by a newer version.
        InvalidUsage: It is no record.
    """
    try:
        record = _decoder.decode(data)
    except msgspec.DecodeError as error:
        version = _version(data)
        if version > VERSION:
            raise _newer(version) from error
        raise InvalidUsage(f"reading a log record: {error}") from error
    if record.v > VERSION:
        raise _newer(record.v)
    return record


def fold(records: Sequence[Record]) -> Orchestration | None:
    """The state after the records, which start at a snapshot or at the first record of a log."""
    state: Orchestration | None = None
    for record in records:
        state = record.snapshot or fold_facts(state, record.facts, record.at_millis)
    return state


def fold_facts(state: Orchestration | None, facts: Sequence[Fact], at_millis: int) -> Orchestration | None:
    """The state after more facts. Raises InvalidUsage when the first fact of a log is not ``created``."""
    for fact in facts:
        if isinstance(fact, Created):
            state = create(fact, at_millis)
        elif state is None:
            raise InvalidUsage(f"folding a log: it starts with '{type(fact).__name__}' and not with 'Created'")
        else:
            state = apply(fact, state, at_millis)
    return state


class _Head(msgspec.Struct):
    v: int = 0


def _version(data: bytes) -> int:
    try:
        return msgspec.json.decode(data, type=_Head).v
    except msgspec.DecodeError:
        return 0


def _newer(version: int) -> NewerData:
    return NewerData(
        f"reading a log record: it has format version {version}, this program reads up to {VERSION}",
        remedy="upgrade this program; the log stays as it is",
    )
