"""What is particular to the JetStream adapter: streams, permissions, consumers that vanish."""

import asyncio
import socket
from datetime import timedelta

import nats
import pytest
from nats_server import NatsServer

from runner.errors import Refused, Unreachable
from runner.messaging.jetstream import JetStreamSettings, connect
from runner.testing.contracts.messaging import fetch_all, until

SECOND = timedelta(seconds=1)
LONG = timedelta(seconds=30)


@pytest.fixture
async def admin(nats_server):
    client = await nats.connect(nats_server.url, token=nats_server.token)
    yield client.jetstream()
    await client.close()


def _settings(server, prefix, **more):
    return JetStreamSettings(urls=(server.url,), token=server.token, prefix=prefix, **more)


async def test_many_processes_may_start_at_the_same_time(nats_server):
    settings = _settings(nats_server, "together")
    connections = await asyncio.gather(*(connect(settings) for _ in range(8)))
    assert await connections[0].log.append("together.run.a", b"one", expected=0) > 0
    await asyncio.gather(*(connection.close() for connection in connections))


async def test_an_existing_stream_keeps_its_operators_settings_and_gets_missing_subjects(nats_server, admin):
    await admin.add_stream(name="wide-log", subjects=["wide.run.>"], max_bytes=12_345_678)
    messaging = await connect(_settings(nats_server, "wide"))
    config = (await admin.stream_info("wide-log")).config
    assert config.max_bytes == 12_345_678
    assert set(config.subjects) == {"wide.run.>", "wide.response.>", "wide.dead.>"}
    assert await messaging.log.append("wide.response.a.1", b"one", expected=0) > 0
    await messaging.close()


async def test_subjects_of_somebody_else_are_refused(nats_server, admin):
    await admin.add_stream(name="somebody", subjects=["taken.run.a"])
    with pytest.raises(Refused, match="overlap") as caught:
        await connect(_settings(nats_server, "taken"))
    assert "prefix" in caught.value.remedy


async def test_more_replicas_than_servers_are_refused(nats_server):
    with pytest.raises(Refused, match="replicas") as caught:
        await connect(_settings(nats_server, "replicas", replicas=3))
    assert "one replica" in caught.value.remedy


async def test_a_consumer_that_was_deleted_is_made_again(nats_server, admin):
    messaging = await connect(_settings(nats_server, "vanish"))
    consumer = await messaging.queue.consumer("task-a", "vanish.task.a", ack_wait=LONG)
    await messaging.queue.publish("vanish.task.a", b"work")
    assert await admin.delete_consumer("vanish-task", "task-a")

    async def fetched():
        try:
            return await consumer.fetch(1, SECOND)
        except Unreachable:
            return []

    assert [delivery.data for delivery in await until(fetched)] == [b"work"]
    await messaging.close()


async def test_documents_are_a_bucket_that_the_nats_tools_show(nats_server, admin):
    messaging = await connect(_settings(nats_server, "tools"))
    await messaging.documents("things").put("a/b", b"one")
    bucket = await admin.key_value("tools-things")
    assert (await bucket.get("a.b")).value == b"one"
    await messaging.close()


async def test_an_altered_blob_is_not_given_out(nats_server, admin):
    messaging = await connect(_settings(nats_server, "altered"))
    digest = await messaging.blobs.put(b"one")
    await admin.publish(f"altered.blob.{digest.removeprefix('sha256:')}", b"two")
    with pytest.raises(Exception, match="altered"):
        await messaging.blobs.get(digest)
    await messaging.close()


async def test_a_wrong_token_is_refused_at_once(nats_server):
    async with asyncio.timeout(2):
        with pytest.raises(Refused, match="uthorization") as caught:
            await connect(JetStreamSettings(urls=(nats_server.url,), token="wrong"))
    assert "wrong" not in str(caught.value)


async def test_no_server_is_unreachable_within_the_timeout_and_names_it_without_the_login():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = JetStreamSettings(urls=(f"nats://me:hidden@127.0.0.1:{port}",), connect_timeout=timedelta(seconds=0.5))
    async with asyncio.timeout(3):
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}") as caught:
            await connect(settings)
    assert "hidden" not in str(caught.value)


AGENT = """users: [
  {user: engine, password: e},
  {user: agent, password: a, permissions: {
    publish: ["$JS.API.CONSUMER.MSG.NEXT.tierform-task.task-a", "$JS.ACK.tierform-task.task-a.>", "tierform.event.>"],
    subscribe: ["_INBOX.>"]}}]"""


async def test_an_agent_with_few_permissions_works_and_is_told_what_it_may_not_do(tmp_path):
    server = NatsServer(tmp_path, authorization=AGENT)
    await server.restart()
    engine = await connect(JetStreamSettings(urls=(server.url,), user="engine", password="e"))
    made = await engine.queue.consumer("task-a", "tierform.task.a", ack_wait=LONG)
    await engine.queue.publish("tierform.task.a", b"work")
    agent = await connect(JetStreamSettings(urls=(server.url,), user="agent", password="a", manage=False))
    consumer = await agent.queue.consumer("task-a", "tierform.task.a", ack_wait=LONG)
    (delivery,) = await fetch_all(consumer, 1)
    await agent.queue.publish("tierform.event.0.a", b"report")
    await delivery.ack()

    async def acknowledged():
        return (await made.state()).unacknowledged == 0

    await until(acknowledged)
    async with asyncio.timeout(2):
        with pytest.raises(Refused, match="does not permit"):
            await agent.log.append("tierform.run.a", b"forged")
    assert await engine.log.last("tierform.run.a") is None
    await agent.close()
    await engine.close()
    server.stop()


async def test_connections_share_one_consumer_fairly_enough_to_lose_none(nats_server):
    settings = _settings(nats_server, "fair")
    connections = [await connect(settings) for _ in range(4)]
    consumers = [await c.queue.consumer("task-a", "fair.task.a", ack_wait=LONG) for c in connections]
    for number in range(200):
        await connections[number % 4].queue.publish("fair.task.a", b"%d" % number)
    shares = await asyncio.gather(*(fetch_all(consumer, 50, batch=5) for consumer in consumers))
    assert sorted(int(delivery.data) for share in shares for delivery in share) == list(range(200))
    await asyncio.gather(*(connection.close() for connection in connections))
