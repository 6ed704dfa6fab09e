"""A backup of one bus restored onto another: what is pending, what moved meanwhile, another prefix."""

import asyncio
import itertools
from datetime import timedelta

import pytest

from runner.activity import ActivityResult
from runner.assembly.backup import back_up
from runner.assembly.backup_file import open_backup
from runner.assembly.restore import Restore
from runner.engine.plan import Plan, PlannedActivity
from runner.errors import Refused
from runner.interpreter.orchestrations import Orchestrations
from runner.interpreter.settings import EngineSettings
from runner.messaging.jetstream import JetStreamSettings, connect
from runner.messaging.memory import MemoryBus
from runner.project.datadir import DataDir
from runner.protocol.messages import VERSION, CommandEvent, encode
from runner.protocol.subjects import Subjects
from runner.testing.environment import Environment

_numbers = itertools.count(1)
SETTINGS = EngineSettings(archive_after=None, fetch_wait=timedelta(seconds=0.5))
FROM, TO = Subjects(prefix="from"), Subjects(prefix="to")
PLAN = Plan(
    digest="x",
    type="single",
    tiers=(("a",),),
    activities={"a": PlannedActivity(id="a", type="a.example.com", provider="p")},
)


class Complete:
    async def process(self, context):
        return ActivityResult.complete()


def environment(bus, subjects):
    return Environment([PLAN], {"p": Complete()}, connect=bus.connect, subjects=subjects, engine_settings=SETTINGS)


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr("runner.assembly.restore._LISTEN_SECONDS", 0.6)  # Engines beat twice a second.


@pytest.fixture
def source():
    return MemoryBus(prefix="from")


@pytest.fixture(params=["memory", "jetstream"])
async def target(request):
    """An empty bus: its connection and names."""
    if request.param == "memory":
        yield MemoryBus(prefix="to").connect(), TO
        return
    server, prefix = request.getfixturevalue("nats_server"), f"to{next(_numbers)}"
    connection = await connect(JetStreamSettings(urls=(server.url,), token=server.token, prefix=prefix))
    yield connection, Subjects(prefix=prefix)
    await connection.close()


@pytest.fixture
def data(tmp_path):
    folder = DataDir.at(tmp_path / "data")
    folder.create()
    return folder


async def moved(source, target, data, tmp_path, *, force=False):
    """Back one bus up and restore it onto the other."""
    messaging, subjects = target
    await back_up(source.connect(), "from", DataDir.at(tmp_path / "source"), tmp_path / "backup.tar")
    with open_backup(tmp_path / "backup.tar") as backup:
        await Restore(messaging, subjects, data, backup).run(force=force)
    return Orchestrations(messaging, subjects, "test")


async def test_logs_archive_documents_blobs_and_responses_come_back(source, target, data, tmp_path):
    async with environment(source, FROM).running() as env:
        states = [await env.until(await env.start("single", oid=f"o{n}"), lambda s: s.is_terminal) for n in range(3)]
    client = source.connect()
    old = Orchestrations(client, FROM, "test")
    await old.archive_ended("o0")
    await client.documents("definitions").put("orchestration/single", b"{}")
    digest = await client.blobs.put(b"large" * 300_000)
    store = await moved(source, target, data, tmp_path)
    messaging, subjects = target
    for state in states:
        assert (await store.load(state.oid)).orchestration == state
        ours = [record.facts for _, record in await store.history(state.oid)]
        assert ours == [record.facts for _, record in await old.history(state.oid)]
        assert len(await messaging.log.read(subjects.response(state.oid, 1))) == 1
    assert (await store.hot_ids(), len(await store.ids())) == (["o1", "o2"], 3)
    assert (await messaging.documents("definitions").get("orchestration/single")).data == b"{}"
    assert await messaging.blobs.get(digest) == b"large" * 300_000


async def test_a_log_that_goes_on_after_a_restore_reads_from_its_own_snapshots(source, target, data, tmp_path):
    async with environment(source, FROM).running() as env:
        await env.until(await env.start("single", oid="o"), lambda s: s.is_terminal)
    store = await moved(source, target, data, tmp_path)
    loaded = await store.load("o")
    again = await store.append(loaded, loaded.orchestration, [], ["e"], 1)
    assert (await store.load("o")).number == again.number == loaded.number + 1


async def test_a_manifest_that_nobody_had_taken_runs_after_the_restore(source, data, tmp_path):
    idle = environment(source, FROM)
    await idle.start("single", oid="pending")
    bus = MemoryBus(prefix="to")
    await moved(source, (bus.connect(), TO), data, tmp_path)
    async with environment(bus, TO).running() as env:
        assert (await env.until("pending", lambda state: state.is_terminal)).generation == 1


async def test_an_event_that_a_log_has_taken_is_not_brought_back(source, target, data, tmp_path):
    async with environment(source, FROM).running() as env:
        await env.until(await env.start("single", oid="o"), lambda s: s.is_terminal)
    client = source.connect()
    store = Orchestrations(client, FROM, "test")
    loaded = await store.load("o")
    for name in ("taken", "fresh"):
        event = CommandEvent(v=VERSION, event_id=name, oid="o", command="retry")
        await client.queue.publish(FROM.event("o"), encode(event))
    await store.append(loaded, loaded.orchestration, [], ["taken"], 1)
    await moved(source, target, data, tmp_path)
    messaging, subjects = target
    stored = await messaging.queue.stored(f"{subjects.prefix}.event.>")
    assert [b"fresh" in message.data for message in stored] == [True]


async def test_what_moved_to_the_archive_while_it_was_backed_up_is_there_once(source, target, data, tmp_path):
    async with environment(source, FROM).running() as env:
        state = await env.until(await env.start("single", oid="o"), lambda s: s.is_terminal)
    old = Orchestrations(source.connect(), FROM, "test")
    entries = await old.history("o")
    await old.archive.write("o", [entry for entry, _ in entries], len(entries), state)
    store = await moved(source, target, data, tmp_path)
    assert await store.hot_ids() == []
    assert (await store.load("o")).orchestration == state


async def test_a_restore_is_refused_where_something_is_or_an_engine_works(source, data, tmp_path):
    bus = MemoryBus(prefix="to")
    async with environment(bus, TO).running() as env:
        await env.until(await env.start("single", oid="here"), lambda s: s.is_terminal)
        with pytest.raises(Refused, match="an engine works"):
            await moved(source, (bus.connect(), TO), data, tmp_path, force=True)
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="not empty"):
        await moved(source, (bus.connect(), TO), data, tmp_path)
    (data.workspaces / "w").mkdir()
    store = await moved(source, (bus.connect(), TO), data, tmp_path, force=True)
    assert await store.ids() == []
    assert [path.name for path in data.root.glob("workspaces.replaced-*/*")] == ["w"]
