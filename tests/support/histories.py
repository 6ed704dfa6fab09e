"""Orchestrations of every turn they can take, played over the memory bus from the start or from a recorded log.

``tests/histories/<name>.jsonl`` holds a log, ``<name>.bundle.json`` the bundle it ran, both as they were stored;
``<name>.states.jsonl`` the state after each record.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from runner.activity import ActivityContext, ActivityResult
from runner.engine.effects import completion_token
from runner.engine.plan import Plan
from runner.engine.record import Record, decode
from runner.engine.state import Orchestration, Status
from runner.executor.settings import AgentSettings
from runner.interpreter.compiling import compile_bundle
from runner.interpreter.settings import EngineSettings
from runner.messaging.memory import MemoryBus
from runner.messaging.ports import Entry
from runner.model.bundle import Bundle
from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.definitions import DefinitionSet
from runner.protocol.messages import VERSION, CommandEvent, CompletionEvent, encode
from runner.protocol.subjects import Subjects
from runner.testing.environment import Environment

FOLDER = Path(__file__).parents[1] / "histories"
SUBJECTS = Subjects()
_SECRET = b"test"
_ENGINE = EngineSettings(sweep_interval=timedelta(milliseconds=40))
_AGENT = AgentSettings(ack_wait=timedelta(milliseconds=400))
_POLLS_MANY = 70


@dataclass(frozen=True, slots=True)
class Scenario:
    """One orchestration, and what somebody outside does when its state is such and such.

    Attributes:
        activities: ``id: (behaviour, needs…)``.
        options: More of the definition.
        undoing: Activities of the compensation, likewise.
        outside: Commands by a name, with what must hold of the state for it to be given.
        completes: Whether a gate is completed from outside, and how.
        dies: Whether its first agent dies while the first activity runs.
    """

    name: str
    activities: dict[str, tuple[str, ...]]
    options: dict[str, Any] | None = None
    undoing: dict[str, tuple[str, ...]] | None = None
    outside: Sequence[tuple[str, Callable[[Orchestration], bool]]] = ()
    completes: str = ""
    dies: bool = False
    payload: dict[str, Any] | None = None


def _status(state: Orchestration, name: str) -> Status | None:
    return state.activities[name].status if name in state.activities else None


_DIAMOND = {"a": ("work",), "b": ("work", "a"), "c": ("work", "a"), "d": ("work", "b", "c")}

SCENARIOS = (
    Scenario("diamond", _DIAMOND),
    Scenario("eager", {**_DIAMOND, "e": ("poll", "a"), "f": ("work", "e")}, {"scheduling": "eager"}),
    Scenario("retried", {"a": ("retry",), "b": ("work", "a")}),
    Scenario("polled", {"a": ("poll",), "b": ("work", "a")}),
    Scenario("long", {"a": ("poll-many",)}),
    Scenario("completed-from-outside", {"a": ("work",), "w": ("wait", "a"), "b": ("work", "w")}, completes="complete"),
    Scenario("failed-from-outside", {"a": ("work",), "w": ("wait", "a"), "b": ("work", "w")}, completes="fail"),
    Scenario(
        "compensated",
        {"a": ("work",), "b": ("fatal", "a"), "c": ("work", "b")},
        undoing={"b": ("work",), "a": ("work", "b")},
    ),
    Scenario("not-undone", {"a": ("work",), "b": ("fatal", "a")}, undoing={"b": ("fatal",), "a": ("work", "b")}),
    Scenario(
        "cancelled",
        {"a": ("work",), "h": ("hang", "a"), "w": ("wait", "a"), "b": ("work", "h", "w")},
        outside=[("cancel", lambda s: _status(s, "w") is Status.WAITING and not s.cancelling)],
    ),
    Scenario(
        "paused",
        {"a": ("poll",), "b": ("work", "a")},
        outside=[
            ("pause", lambda s: _status(s, "a") is Status.SCHEDULED and not s.paused),
            ("resume", lambda s: s.paused),
        ],
    ),
    Scenario(
        "second-generation",
        {"a": ("work",), "f": ("flaky", "a"), "b": ("work", "f")},
        outside=[("retry", lambda s: s.is_terminal and s.generation == 1)],
    ),
    Scenario("taken-over", {"a": ("slow",), "b": ("work", "a")}, dies=True),
    Scenario("refused", {"a": ("work",)}, {"schema": {"type": "object", "required": ["tenantId"]}}, payload={}),
)


class Behaving:
    """A processor that does what the discriminator says."""

    async def process(self, context: ActivityContext) -> ActivityResult:
        behaviour, polls = context.discriminator, context.details.polls
        if behaviour == "hang":
            await context.stopping.wait()
            return ActivityResult.retry("stopped")
        if behaviour == "slow":
            await asyncio.sleep(0.1)
        if behaviour == "wait":
            return ActivityResult.wait()
        if behaviour == "fatal" or (behaviour == "flaky" and context.details.generation == 1):
            return ActivityResult.fatal("it cannot be")
        if behaviour == "retry" and context.attempt < 3:
            context.set_value("tried", context.attempt)
            return ActivityResult.retry(f"attempt {context.attempt} fails")
        if behaviour.startswith("poll") and polls < (_POLLS_MANY if behaviour == "poll-many" else 3):
            return ActivityResult.schedule(timedelta(milliseconds=5 * (polls % 2)))
        context.set_value(f"k-{context.id}", context.inputs.get("tenantId"))
        context.set_output_value("v", f"made by {context.id}")
        return ActivityResult.complete()


def bundle_of(scenario: Scenario) -> Bundle:
    """The scenario's definition as it is stored."""
    rule = {"maxAttempts": 5, "initialIntervalMillis": 5, "maxIntervalMillis": 10}
    step = ActivityDefinition.model_validate({"type": "step.example.com", "provider": "p", "retry": rule})
    options = dict(scenario.options or {})
    definitions = []
    if scenario.undoing:
        options["compensation"] = "undoing"
        definitions.append(_definition("undoing", scenario.undoing, {}))
    definitions.append(_definition(scenario.name, scenario.activities, options))
    return Bundle.compile(DefinitionSet.of(step, *definitions), scenario.name)


def _definition(type_: str, activities: dict[str, tuple[str, ...]], options: dict[str, Any]) -> OrchestrationDefinition:
    listed = [
        {
            "id": name,
            "type": "step.example.com",
            "discriminator": what,
            "dependsOn": list(needs),
            "inputs": ["tenantId"],
        }
        for name, (what, *needs) in activities.items()
    ]
    return OrchestrationDefinition.model_validate({"type": type_, "active": True, "activities": listed, **options})


# Playing --------------------------------------------------------------------------------------------------------


async def play(scenario: Scenario, plan: Plan, bus: MemoryBus, oid: str) -> Orchestration:
    """Run the orchestration to its end, from the start when the bus has no log of it; its last state."""
    environment = Environment(
        [plan], {"p": Behaving()}, connect=bus.connect, engine_settings=_ENGINE, agent_settings=_AGENT
    )
    async with _working(environment, dies=scenario.dies and not bus.logs):
        if not bus.logs:
            payload = {"tenantId": "acme"} if scenario.payload is None else scenario.payload
            await environment.start(scenario.name, payload, oid=oid, by="recorder")
        async with asyncio.timeout(20):
            return await _accompany(scenario, environment, bus, oid)


@asynccontextmanager
async def _working(environment: Environment, *, dies: bool) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(environment.run_engine("engine"))]
        if dies:
            tasks.append(group.create_task(_die_early(environment)))
        else:
            tasks.append(group.create_task(environment.run_agent("agent")))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _die_early(environment: Environment) -> None:
    """An agent that dies while it runs the first activity, and the one that comes after it."""
    doomed = asyncio.create_task(environment.run_agent("doomed"))
    while (state := await environment.state("taken-over")) is None or not state.activities:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    doomed.cancel()
    await asyncio.gather(doomed, return_exceptions=True)
    await environment.run_agent("heir")


async def _accompany(scenario: Scenario, environment: Environment, bus: MemoryBus, oid: str) -> Orchestration:
    """Be everybody outside until the orchestration has ended for good."""
    given: set[str] = set()
    queue = bus.connect().queue
    while True:
        state = await environment.state(oid)
        events = list(_events(scenario, state)) if state is not None else []
        for name, event in events:
            again = (
                name == "pause/1" and "resume/1" in given
            )  # A log that begins paused is resumed, and not paused again.
            if name not in given and not again:
                given.add(name)
                await queue.publish(SUBJECTS.event(oid), encode(event), message_id=name)
        if state is not None and state.is_terminal and not events:
            return state
        await asyncio.sleep(0.002)


def _events(scenario: Scenario, state: Orchestration) -> Sequence[tuple[str, CommandEvent | CompletionEvent]]:
    found: list[tuple[str, CommandEvent | CompletionEvent]] = []
    for command, holds in scenario.outside:
        if holds(state):
            name = f"{command}/{state.generation}"
            event = CommandEvent(
                v=VERSION, event_id=name, oid=state.oid, command=command, by="recorder", reason="why not"
            )  # type: ignore[arg-type]
            found.append((name, event))
    for activity in [
        name for name, one in state.activities.items() if scenario.completes and one.status is Status.WAITING
    ]:
        token = completion_token(state, activity, _SECRET)
        common = {"v": VERSION, "event_id": token, "oid": state.oid, "activity": activity, "token": token}
        found.append(
            (token, CompletionEvent(**common, outcome=scenario.completes, error="they said no", by="recorder"))
        )  # type: ignore[arg-type]
    return found


# Files ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded history."""

    scenario: Scenario
    plan: Plan
    entries: list[Entry]
    records: list[Record]
    states: list[Orchestration]


class _Line(msgspec.Struct):
    sequence: int
    at: datetime
    record: msgspec.Raw


def to_lines(entries: Sequence[Entry]) -> bytes:
    """A log as a file."""
    encoder = msgspec.json.Encoder()
    lines = [_Line(entry.sequence, entry.at, msgspec.Raw(entry.data)) for entry in entries]
    return b"".join(encoder.encode(line) + b"\n" for line in lines)


def load(name: str) -> Recorded:
    """A recorded history by its scenario's name."""
    scenario = next(one for one in SCENARIOS if one.name == name)
    lines = [msgspec.json.decode(line, type=_Line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()]
    entries = [Entry(SUBJECTS.run(name), line.sequence, bytes(line.record), line.at.astimezone(UTC)) for line in lines]
    states = (FOLDER / f"{name}.states.jsonl").read_bytes().splitlines()
    records = [decode(entry.data) for entry in entries]
    bundle = (FOLDER / f"{name}.bundle.json").read_bytes().rstrip(b"\n")
    plan = compile_bundle(_bundle_digest(records), bundle)
    return Recorded(
        scenario, plan, entries, records, [msgspec.json.decode(line, type=Orchestration) for line in states]
    )


def _bundle_digest(records: Sequence[Record]) -> str:
    """The digest in the log's first fact: what the engine looks for."""
    return str(msgspec.to_builtins(records[0].facts[0])["bundle"])


def bus_with(entries: Sequence[Entry]) -> MemoryBus:
    """A bus that holds the log so far and nothing else: whatever was under way is lost."""
    bus = MemoryBus()
    if entries:
        bus.logs[entries[0].subject] = list(entries)
        while bus.next_sequence() < entries[-1].sequence:
            pass
    return bus
