"""Ended orchestrations go to the archive, stay readable there, and are removed in the end."""

import asyncio
import itertools
import time
from datetime import timedelta

import pytest

from runner.activity import ActivityResult
from runner.engine.plan import Plan, PlannedActivity, RetryRule
from runner.engine.record import fold
from runner.engine.state import OrchestrationState
from runner.interpreter.engine import Engine
from runner.interpreter.orchestrations import Loaded, Orchestrations
from runner.interpreter.retention import Retention
from runner.interpreter.settings import EngineSettings
from runner.messaging.jetstream import JetStreamSettings, connect
from runner.messaging.memory import MemoryBus
from runner.messaging.ports import SequenceConflict
from runner.protocol.messages import VERSION, CommandEvent, encode
from runner.protocol.subjects import Subjects, token
from runner.testing.environment import Environment, _FixedPlans

_numbers = itertools.count(1)
AT_ONCE = EngineSettings(archive_after=timedelta(0), fetch_wait=timedelta(seconds=0.5))
NEVER = EngineSettings(archive_after=None, fetch_wait=timedelta(seconds=0.5))


def plan():
    activities = {
        name: PlannedActivity(
            id=name, type=f"{name}.example.com", provider="p", depends_on=needs, retry=RetryRule(max_attempts=1)
        )
        for name, needs in (("a", ()), ("b", ("a",)))
    }
    return Plan(digest="x", type="chain", tiers=(("a",), ("b",)), activities=activities)


class Processor:
    def __init__(self):
        self.broken = set()
        self.ran = []

    async def process(self, context):
        self.ran.append(context.id)
        if context.id in self.broken:
            return ActivityResult.fatal("broken")
        return ActivityResult.complete()


class Place:
    """One bus, with environments on it."""

    def __init__(self, connect_once, prefix):
        self.connect = connect_once
        self.subjects = Subjects(prefix=prefix)
        self.messaging = connect_once()
        self.store = Orchestrations(self.messaging, self.subjects, "test")
        self.processor = Processor()

    def environment(self, settings=AT_ONCE):
        return Environment(
            [plan()], {"p": self.processor}, connect=self.connect, subjects=self.subjects, engine_settings=settings
        )

    async def is_archived(self, oid):
        hot = await self.messaging.log.last(self.subjects.run(oid))
        return hot is None and await self.store.archive.head(token(oid)) is not None

    async def until_archived(self, *ids):
        async with asyncio.timeout(15):
            for oid in ids:
                while not await self.is_archived(oid):  # noqa: ASYNC110 - any backend, so polling
                    await asyncio.sleep(0.01)

    async def ended(self, oid, settings=NEVER):
        async with self.environment(settings).running() as env:
            await env.start("chain", oid=oid)
            return await env.until(oid, lambda state: state.is_terminal)


@pytest.fixture(params=["memory", "jetstream"])
async def place(request):
    prefix = f"arc{next(_numbers)}"
    if request.param == "memory":
        yield Place(MemoryBus(prefix=prefix).connect, prefix)
        return
    server = request.getfixturevalue("nats_server")
    ready = [await connect(JetStreamSettings(urls=(server.url,), token=server.token, prefix=prefix)) for _ in range(20)]
    spare = iter(ready)
    yield Place(lambda: next(spare), prefix)
    for connection in ready:
        await connection.close()


async def test_an_ended_orchestration_leaves_the_log_and_reads_as_before(place):
    before = await place.ended("one/🙂")
    history = await place.store.history("one/🙂")
    async with place.environment().running():
        await place.until_archived("one/🙂")
    assert await place.messaging.log.read(place.subjects.run("one/🙂")) == []
    assert (await place.store.load("one/🙂")).orchestration == before
    assert await place.store.history("one/🙂") == history
    assert fold([record for _, record in history]) == before
    assert await place.store.ids() == [token("one/🙂")]
    assert await place.store.hot_ids() == []
    (summary,) = await place.store.summaries()
    assert (summary.oid, summary.type, summary.state) == ("one/🙂", "chain", OrchestrationState.COMPLETED)
    assert (summary.created_millis, summary.state_millis) == (before.created_millis, before.state_millis)


async def test_the_same_manifest_again_does_not_start_an_archived_one(place):
    async with place.environment().running() as env:
        await env.start("chain", oid="again")
        await place.until_archived("again")
        ran = list(place.processor.ran)
        await env.start("chain", oid="again", payload={"other": 1})
        await env.run("chain")  # Behind it in the queue, or beside it.
        await asyncio.sleep(0.2)
        assert (await env.state("again")).generation == 1
    assert place.processor.ran[len(ran) :] == ["a", "b"]
    assert [record.number for _, record in await place.store.history("again")].count(1) == 1


async def test_a_retry_of_an_archived_one_goes_on_where_it_ended_and_is_archived_again(place):
    place.processor.broken = {"b"}
    assert (await place.ended("twice")).state is OrchestrationState.ERRORED
    async with place.environment().running() as env:
        await place.until_archived("twice")
        place.processor.broken = set()
        event = CommandEvent(v=VERSION, event_id="r", oid="twice", command="retry")
        await place.messaging.queue.publish(place.subjects.event("twice"), encode(event))
        state = await env.until("twice", lambda state: state.is_terminal and state.generation == 2)
        await place.until_archived("twice")
    assert state.state is OrchestrationState.COMPLETED
    assert place.processor.ran == ["a", "b", "b"]
    records = [record for _, record in await place.store.history("twice")]
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert fold(records) == state == (await place.store.load("twice")).orchestration
    assert (await place.store.archive.head("twice")).generation == 2


async def test_with_two_engines_everything_is_archived_once_and_nothing_is_lost(place):
    async with place.environment().running(engines=2) as env:
        ids = [await env.start("chain", oid=f"o{n}") for n in range(20)]
        states = [await env.until(oid, lambda state: state.is_terminal) for oid in ids]
        await place.until_archived(*ids)
    assert {summary.oid for summary in await place.store.summaries()} == set(ids)
    for state in states:
        assert fold([record for _, record in await place.store.history(state.oid)]) == state


async def test_a_record_that_is_appended_while_it_is_archived_is_kept(place):
    await place.ended("race")
    log, subject = place.messaging.log, place.subjects.run("race")
    entries = await log.read(subject)
    loaded = await place.store.load("race")
    await place.store.archive.write("race", entries, loaded.number, loaded.orchestration)
    place.processor.broken = set()
    await place.store.append(loaded, loaded.orchestration, [], ["late"], 5)
    await log.purge(subject, through=entries[-1].sequence)
    numbers = [record.number for _, record in await place.store.history("race")]
    assert numbers == list(range(1, len(entries) + 2))
    assert (await place.store.load("race")).orchestration == loaded.orchestration
    assert await place.store.archive_ended("race")
    assert [record.number for _, record in await place.store.history("race")] == numbers


@pytest.mark.parametrize("steps", ["nothing", "archive", "archive twice"])
async def test_archiving_again_after_a_crash_at_any_step_is_harmless(place, steps):
    state = await place.ended("crash")
    history = await place.store.history("crash")
    for _ in range(len(steps.split()) if steps != "nothing" else 0):
        await place.store.archive.write("crash", [entry for entry, _ in history], history[-1][1].number, state)
    assert len(await place.store.summaries()) == 1
    assert await place.store.archive_ended("crash")
    assert not await place.store.archive_ended("crash")
    assert await place.store.history("crash") == history


async def test_a_running_one_is_not_archived(place):
    place.processor.broken = set()
    async with place.environment().running(agents=0) as env:
        await env.start("chain", oid="open")
        await env.until("open", lambda state: state.state is OrchestrationState.RUNNING)
        assert not await place.store.archive_ended("open")
    assert await place.store.hot_ids() == ["open"]


async def test_a_history_larger_than_a_message_is_cut_into_parts(place):
    state = await place.ended("large")
    place.store.archive._part_bytes = 100
    history = await place.store.history("large")
    assert await place.store.archive_ended("large")
    assert (await place.store.archive.head("large")).parts > 3
    assert await place.store.history("large") == history
    assert (await place.store.load("large")).orchestration == state
    assert await place.store.archive.tokens() == ["large"]
    await place.store.archive.remove("large")
    assert await place.messaging.log.subjects(f"{place.subjects.prefix}.done") == {}


async def test_who_had_read_an_empty_log_and_was_frozen_cannot_begin_it_again(place, monkeypatch):
    empty = await place.store.load("frozen")
    state = await place.ended("frozen", AT_ONCE)
    async with place.environment().running():
        await place.until_archived("frozen")
    history = await place.store.history("frozen")
    created = history[0][1].facts
    monkeypatch.setattr("runner.interpreter.orchestrations._FRESH_SECONDS", 0.0)
    for loaded in (empty, Loaded(None)):
        with pytest.raises(SequenceConflict):
            await place.store.append(loaded, state, created, [], 1)
    assert await place.messaging.log.read(place.subjects.run("frozen")) == []
    assert await place.store.history("frozen") == history


async def test_retention_removes_by_age_and_by_number_what_is_archived_and_nothing_else(place):
    forgotten = []

    async def forget(oid):
        forgotten.append(oid)

    states = [await place.ended(f"r{n}") for n in range(4)]
    for state in states[:3]:
        await place.store.archive_ended(state.oid)
    retention = Retention(place.messaging, place.subjects, place.store, forget)
    now = states[3].state_millis
    assert await retention.enforce(now, older_than=timedelta(days=1), keep=None) == 0
    assert await retention.enforce(now, older_than=None, keep=2) == 1
    assert forgotten == ["r0"]
    assert await place.messaging.log.read(place.subjects.response("r0", 1)) == []
    assert len(await place.messaging.log.read(place.subjects.response("r1", 1))) == 1
    assert (await place.store.load("r0")).orchestration is None
    assert await retention.enforce(now + 60_000, older_than=timedelta(seconds=5), keep=None) == 2
    assert {summary.oid for summary in await place.store.summaries()} == {"r3"}


async def test_the_engine_enforces_retention_by_itself(place):
    await place.ended("old")
    settings = EngineSettings(
        archive_after=timedelta(0),
        keep_for=timedelta(0),
        retention_after=timedelta(0),
        retention_interval=timedelta(seconds=0.1),
    )
    engine = Engine(
        place.connect(),
        _FixedPlans({"chain": plan()}),
        place.subjects,
        name="engine",
        now=lambda: time.time_ns() // 1_000_000,
        secret=b"test",
        settings=settings,
        forget=_nothing,
    )
    running = asyncio.create_task(engine.run())
    async with asyncio.timeout(15):
        while (await place.store.load("old")).orchestration is not None:  # noqa: ASYNC110 - any backend, so polling
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _nothing(oid):
    del oid
