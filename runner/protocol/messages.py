"""The messages of the native protocol, as they cross the bus.

JSON, camelCase, one object a message; ``v`` is the format's version and ``kind`` tells events apart. A reader ignores
members that it does not know and refuses a higher ``v``. Times are integers, milliseconds since 1970 in UTC; durations
are milliseconds. Described in docs/protocol.md.
"""

from typing import Any, Literal, TypeVar

import msgspec

from runner.errors import InvalidUsage, NewerData

VERSION = 1

W = TypeVar("W")


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What all messages share."""

    v: int


class Task(Wire, frozen=True, kw_only=True):
    """An activity message: everything an agent needs to run one delivery of one activity.

    Attributes:
        lease: Numbers each dispatch of the activity; with the bus's delivery count it is what a report is checked
            against.
        inputs: Resolved inputs by target name; secrets are references.
        values: The shared context with the activity's own staged changes applied.
        activity: Names it in reports.
        id: Its id, when that is another: activities that compensate are named ``undo.<id>``.
        outputs: Outputs an earlier delivery of this activity had set.
        heartbeat: Details of the last sign of life of an earlier attempt.
        token: One-time completion token; empty when the engine makes none.
        stop: Not empty: the activity is being stopped; the processor is called once more so that it hears of it.
    """

    oid: str
    activity: str
    type: str
    attempt: int
    lease: int
    generation: int = 1
    correlation_id: str = ""
    orchestration_type: str = ""
    discriminator: str = ""
    provider: str = ""
    polls: int = 0
    config: dict[str, Any] = {}
    modules: dict[str, str] = {}
    input_schema: dict[str, Any] | bool | None = None
    output_schema: dict[str, Any] | bool | None = None
    inputs: dict[str, Any] = {}
    values: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    timeout_millis: int | None = None
    heartbeat_timeout_millis: int | None = None
    heartbeat: Any = None
    id: str = ""
    token: str = ""
    stop: Literal["", "cancel"] = ""
    trace: dict[str, str] = {}


class Event(Wire, frozen=True, kw_only=True, tag_field="kind"):
    """What reaches the engine. ``event_id`` names it over all redeliveries."""

    event_id: str
    oid: str


class ManifestEvent(Event, frozen=True, kw_only=True, tag="manifest"):
    """Start an orchestration.

    Attributes:
        bundle: Digest of the compiled definition to run; empty means the one registered for the type.
        only: Activity ids to run; empty means all.
        by: Who asked.
    """

    orchestration_type: str
    correlation_id: str = ""
    payload: dict[str, Any] = {}
    bundle: str = ""
    priority: int = 0
    only: list[str] = []
    by: str = ""


class ReportEvent(Event, frozen=True, kw_only=True, tag="report"):
    """An activity report: how one delivery ended.

    Attributes:
        result: The specification's integer.
        started_millis: When the agent began.
        existing: What the activity deploys was there before its orchestration: compensation leaves it alone.
        heartbeat: The details of the last sign of life, for the next attempt.
    """

    activity: str
    attempt: int
    lease: int
    delivery: int
    result: Literal[-2, -1, 0, 1, 2]
    generation: int = 1
    agent: str = ""
    delay_millis: int = 0
    error: str = ""
    set: dict[str, Any] = {}
    deleted: list[str] = []
    outputs: dict[str, Any] = {}
    started_millis: int = 0
    existing: bool = False
    heartbeat: Any = None


class ClaimEvent(Event, frozen=True, kw_only=True, tag="claim"):
    """An agent that got a task for the second time asks whether it may still run it; the engine answers on ``reply``."""

    activity: str
    attempt: int
    lease: int
    delivery: int
    reply: str
    generation: int = 1
    agent: str = ""


class CommandEvent(Event, frozen=True, kw_only=True, tag="command"):
    """Somebody wants something of an orchestration.

    Attributes:
        activity: For ``retry``: run from this activity on again, with everything that depends on it.
    """

    command: Literal["cancel", "retry", "pause", "resume"]
    by: str = ""
    reason: str = ""
    activity: str = ""


class CompletionEvent(Event, frozen=True, kw_only=True, tag="completion"):
    """An activity in Wait is completed, failed or given data from outside.

    Attributes:
        token: The completion token of the activity's lease, as its task carried it.
        reply: Where the engine's `Answer` goes; empty for nowhere.
    """

    activity: str
    token: str
    outcome: Literal["complete", "fail", "data"]
    error: str = ""
    set: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    by: str = ""
    reply: str = ""


class Answer(Wire, frozen=True, kw_only=True):
    """The engine's answer.

    Attributes:
        live: Whether a claim's lease is live, or a completion was taken.
        stop: Whether the claimed activity is being stopped.
        reason: Why not.
    """

    live: bool
    stop: bool = False
    reason: str = ""


class Control(Wire, frozen=True, kw_only=True):
    """The engine tells the agents that run a lease what became of it.

    Attributes:
        reason: ``cancel``: stop. ``lost``: another agent took the task over; those with a lower delivery stop, and the
            one that has it says that it is at work, by a claim that asks for no answer.
        delivery: For ``lost``: the one that counts.
    """

    activity: str
    lease: int
    reason: Literal["cancel", "lost"]
    generation: int = 1
    delivery: int = 0


class Beat(Wire, frozen=True, kw_only=True):
    """A sign of life of an engine or an agent; ``partitions`` are those that an engine works on."""

    name: str
    host: str = ""
    leaving: bool = False
    partitions: list[int] = []


class Live(Wire, frozen=True, kw_only=True):
    """One thing that people who watch an orchestration see.

    Attributes:
        what: ``transition`` (``facts`` as in the log), ``started`` (an agent began), ``progress`` (``text``).
    """

    oid: str
    what: Literal["transition", "started", "progress"]
    at_millis: int
    activity: str = ""
    attempt: int = 0
    agent: str = ""
    text: str = ""
    facts: list[Any] = []


class Response(Wire, frozen=True, kw_only=True):
    """What a manifest's sender is told when its orchestration has ended; the reference's members.

    Source: The reference system's ``event.cfm-orchestration-response``.
    """

    id: str
    manifest_id: str
    correlation_id: str
    orchestration_type: str
    success: bool
    state: int
    error_detail: str = ""
    properties: dict[str, Any] = {}


AnyEvent = ManifestEvent | ReportEvent | ClaimEvent | CommandEvent | CompletionEvent

_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_tasks = msgspec.json.Decoder(Task)


class _Head(msgspec.Struct):
    v: int = 0


_heads = msgspec.json.Decoder(_Head)


def encode(message: Wire) -> bytes:
    """The message as JSON."""
    return _encoder.encode(message)


def decode_event(data: bytes) -> AnyEvent:
    """An event.

    Raises:
        NewerData: Its version is higher than this program's.
        InvalidUsage: It is not an event; the detail says where it departs from the format.
    """
    return _decoded(_events, data, "event")


def decode_task(data: bytes) -> Task:
    """A task; raises as `decode_event`."""
    return _decoded(_tasks, data, "task")


def decode(message_type: type[W], data: bytes) -> W:
    """Any other message; raises as `decode_event`."""
    return _decoded(msgspec.json.Decoder(message_type), data, message_type.__name__.lower())


def _decoded(decoder: "msgspec.json.Decoder[W]", data: bytes, what: str) -> W:
    try:
        message = decoder.decode(data)
    except msgspec.DecodeError as error:
        _refuse_newer(data, what)
        raise InvalidUsage(f"reading a message as {what}: {error}") from error
    if getattr(message, "v", VERSION) > VERSION:
        _refuse_newer(data, what)
    return message


def _refuse_newer(data: bytes, what: str) -> None:
    try:
        version = _heads.decode(data).v
    except msgspec.DecodeError:
        return
    if version > VERSION:
        raise NewerData(
            f"reading a message as {what}: it has format version {version}, this program reads up to {VERSION}",
            remedy="upgrade this program; the message stays",
        )
