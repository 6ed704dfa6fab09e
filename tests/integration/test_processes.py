"""Engines and agents of the real command line over one server: they share work, take over, and drain."""

import asyncio
import json
import signal
import time
import uuid
from contextlib import asynccontextmanager

import pytest
from fleet import Fleet
from sandbox import Sandbox, wait_until

from runner.engine.facts import Completed
from runner.engine.state import OrchestrationState
from runner.interpreter.orchestrations import Orchestrations
from runner.messaging.jetstream import JetStreamSettings, connect
from runner.protocol.messages import VERSION, ManifestEvent, encode
from runner.protocol.subjects import Subjects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
TYPE = "step.example.com"
SUBJECTS = Subjects()


def step(name, *needs, behaviour="work"):
    return {"id": name, "type": TYPE, "discriminator": behaviour, "dependsOn": list(needs), "inputs": ["seed"]}


DEFINITIONS = [
    {"type": TYPE, "provider": "ledger", "retry": {"initialIntervalMillis": 20}},
    {"type": "diamond", "active": True, "activities": [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]},
    {"type": "slow", "active": True, "activities": [step("a", behaviour="slow")]},
]


@pytest.fixture
def fleet(tmp_path):
    """Nothing of it runs yet."""
    (tmp_path / "server").mkdir()
    made = Fleet(tmp_path, tmp_path / "server", DEFINITIONS, engines=2, agents=3)
    yield made
    made.end()


class Outside:
    """Starts orchestrations and reads their logs."""

    def __init__(self, messaging):
        self.messaging = messaging
        self.store = Orchestrations(messaging, SUBJECTS, "test")

    async def start(self, type_, count=1):
        ids = [f"{type_}-{uuid.uuid4().hex}" for _ in range(count)]
        for oid in ids:
            event = ManifestEvent(v=VERSION, event_id=oid, oid=oid, orchestration_type=type_, payload={"seed": 1})
            await self.messaging.queue.publish(SUBJECTS.event(oid), encode(event), message_id=oid)
        return ids

    async def until_ended(self, oid):
        while True:
            state = (await self.store.load(oid)).orchestration
            if state is not None and state.is_terminal:
                return state
            await asyncio.sleep(0.02)

    async def completed(self, ids, seconds=40):
        """Wait for their ends; which engines wrote and which agents reported."""
        engines, agents = set(), set()
        async with asyncio.timeout(seconds):
            for oid in ids:
                state = await self.until_ended(oid)
                assert state.state is OrchestrationState.COMPLETED, state.error
                for _, record in await self.store.history(oid):
                    engines.add(record.engine)
                    agents |= {fact.agent for fact in record.facts if isinstance(fact, Completed)}
        return engines, agents


@asynccontextmanager
async def outside(fleet):
    server = fleet.server.server
    messaging = await connect(JetStreamSettings(urls=(server.url,), token=server.token))
    try:
        yield Outside(messaging)
    finally:
        await messaging.close()


def lines(fleet, what):
    found = [json.loads(line) for line in fleet.ledger.read_text().splitlines()]
    return [line for line in found if line["what"] == what]


def of(names, members):
    """Which of the members wrote these names: a process's id is part of its name."""
    pids = {member.pid: member.name for member in members}
    return {pids.get(int(name.split("-")[-2]), name) for name in names}


async def all_at_work(there, fleet, engines, agents):
    """Wait until so many engines and agents take part."""
    seen_engines, seen_agents = set(), set()
    async with asyncio.timeout(30):
        while len(of(seen_engines, fleet.engines)) < engines or len(of(seen_agents, fleet.agents)) < agents:
            new_engines, new_agents = await there.completed(await there.start("diamond", 20))
            seen_engines |= new_engines
            seen_agents |= new_agents


async def test_two_engines_and_three_agents_share_the_work(fleet):
    await asyncio.to_thread(fleet.start)
    async with outside(fleet) as there:
        await all_at_work(there, fleet, 2, 3)
    assert set(fleet.drain().values()) == {0}


async def test_an_engine_and_an_agent_that_come_and_go_take_their_share_within_seconds(fleet):
    late_engine, late_agent = fleet.engines.pop(), fleet.agents.pop()
    await asyncio.to_thread(fleet.start)
    async with outside(fleet) as there:
        await there.completed(await there.start("diamond", 10))
        late_engine.start()
        late_agent.start()
        fleet.engines.append(late_engine)
        fleet.agents.append(late_agent)
        began = time.monotonic()
        await all_at_work(there, fleet, 2, 3)
        assert time.monotonic() - began < 10
        ids = await there.start("diamond", 60)
        fleet.engines[0].kill()
        fleet.agents[0].kill()
        began = time.monotonic()
        await there.completed(ids)
        assert time.monotonic() - began < 25
        engines, agents = await there.completed(await there.start("diamond", 20), 10)
    assert of(engines, fleet.engines) == {"engine-1"}
    assert of(agents, fleet.agents) <= {"agent-1", "agent-2"}


async def until_begun(fleet, count=1):
    await asyncio.to_thread(wait_until, lambda: len(lines(fleet, "begin")) >= count)


async def test_a_told_agent_finishes_what_it_runs_and_ends_with_code_0(fleet):
    del fleet.agents[1:]
    await asyncio.to_thread(fleet.start)
    async with outside(fleet) as there:
        ids = await there.start("slow")
        await until_begun(fleet)
        fleet.agents[0].send(signal.SIGTERM)
        await there.completed(ids)
    assert fleet.agents[0].wait(10) == 0
    assert [line["delivery"] for line in lines(fleet, "end")] == [1]


async def test_a_told_agent_hands_back_what_it_may_not_finish_and_another_completes_it(fleet):
    fleet.agents.clear()
    await asyncio.to_thread(fleet.start)
    first = fleet.add_agent("--drain-seconds", "0")
    async with outside(fleet) as there:
        ids = await there.start("slow")
        await until_begun(fleet)
        heir = fleet.add_agent()
        first.send(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 10) == 0
        began = time.monotonic()
        _, agents = await there.completed(ids)
        assert (
            time.monotonic() - began < 5 + 4
        )  # It goes on at once and not when a lease has run out; it takes up to 4 s.
    assert of(agents, [heir]) == {heir.name}
    assert len(lines(fleet, "stopped")) == 1
    assert [line["pid"] for line in lines(fleet, "end")] == [heir.pid]


async def test_a_second_signal_ends_an_agent_at_once_and_its_work_goes_on_elsewhere(fleet):
    del fleet.agents[1:]
    await asyncio.to_thread(fleet.start)
    async with outside(fleet) as there:
        ids = await there.start("slow", 4)
        await until_begun(fleet, 4)
        fleet.agents[0].send(signal.SIGTERM)
        wait_until(lambda: "draining" in fleet.agents[0].log.read_text())
        began = time.monotonic()
        fleet.agents[0].send(signal.SIGTERM)
        assert await asyncio.to_thread(fleet.agents[0].wait, 10) == 0
        assert time.monotonic() - began < 1
        fleet.add_agent()
        await there.completed(ids)


async def test_a_told_engine_leaves_nothing_behind(fleet):
    await asyncio.to_thread(fleet.start)
    async with outside(fleet) as there:
        await all_at_work(there, fleet, 2, 1)
        ids = await there.start("diamond", 100)
        fleet.engines[0].send(signal.SIGTERM)
        began = time.monotonic()
        await there.completed(ids)
        assert time.monotonic() - began < 10
    assert await asyncio.to_thread(fleet.engines[0].wait, 10) == 0


def test_an_agent_with_an_empty_folder_gets_the_module_by_its_digest(tmp_path, nats_server):
    place = Sandbox(tmp_path / "engine").notes()
    remote = Sandbox(tmp_path / "agent")
    shared = {
        "TIERFORM_NATS_TOKEN": nats_server.token,
        "TIERFORM_PREFIX": "modules",
        "TIERFORM_KEY_FILE": str(place.key),
    }
    options = ["--nats", nats_server.url]
    started = [place.start("serve", *options, **shared), remote.start("agent", *options, **shared)]
    try:
        for one in started:
            one.until("works")
        inputs = place.inputs("acme")
        ended = place.run("run", "note.deploy", "--detach", "--id", "x", *options, *inputs, **shared)
        assert ended.code == 0, ended
        place.run("logs", "-f", "x", *options, **shared)
        shown = place.run("show", "x", "--output", "json", *options, **shared).json
        assert shown["state"] == OrchestrationState.COMPLETED, (shown, started[1].stderr)
        assert place.lines() == ["began a acme", "made a acme"]
        assert not list((remote.project / "modules").iterdir())
        assert list(remote.data.rglob("main.tf"))
    finally:
        for one in started:
            one.send(signal.SIGTERM)
        codes = [one.ended().code for one in started]
        place.end()
        remote.end()
    assert codes == [0, 0]
