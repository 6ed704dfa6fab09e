"""What survives kill -9 of the server, and that clients go on by themselves."""

import asyncio
from collections.abc import AsyncIterator

from runner.errors import Retry
from runner.messaging.ports import Consumer, Message, Messaging
from runner.testing.contracts.messaging.backend import LONG_WAIT, MOMENT, PATIENCE, RestartableBackend, fetch_all, until


class DurabilityContract:
    """For backends whose server can be killed and started again; their fixture is a `RestartableBackend`."""

    async def test_everything_acknowledged_survives_a_killed_server(self, backend: RestartableBackend) -> None:
        messaging, prefix = await backend.connect(), backend.prefix
        consumer = await messaging.queue.consumer("task-a", f"{prefix}.task.a", ack_wait=LONG_WAIT)
        sequence = await messaging.log.append(f"{prefix}.run.a", b"one", expected=0)
        await messaging.queue.publish(f"{prefix}.task.a", b"work")
        revision = await messaging.documents("things").put("a", b"document")
        digest = await messaging.blobs.put(b"x" * 1_000_000)
        await backend.kill()
        await backend.start()
        last = await messaging.log.last(f"{prefix}.run.a")
        document = await messaging.documents("things").get("a")
        assert last is not None
        assert document is not None
        assert (last.sequence, document.revision) == (sequence, revision)
        assert await messaging.blobs.get(digest) == b"x" * 1_000_000
        assert [delivery.data for delivery in await fetch_all(consumer, 1)] == [b"work"]

    async def test_an_idle_connection_finds_its_server_again(self, backend: RestartableBackend) -> None:
        messaging, prefix = await backend.connect(), backend.prefix
        consumer = await messaging.queue.consumer("task-a", f"{prefix}.task.a", ack_wait=LONG_WAIT)
        waiting = asyncio.create_task(consumer.fetch(10, PATIENCE))
        subscription = await messaging.feed.subscribe(f"{prefix}.beat.>")
        beat = asyncio.create_task(_next(aiter(subscription)))
        await backend.kill()
        await backend.start()
        await messaging.queue.publish(f"{prefix}.task.a", b"work")
        async with asyncio.timeout(PATIENCE.total_seconds()):
            assert [delivery.data for delivery in await waiting] == [b"work"]
            while not beat.done():
                await messaging.feed.publish(f"{prefix}.beat.agent.a", b"")
                await asyncio.wait({beat}, timeout=0.05)

    async def test_a_busy_connection_loses_nothing_and_goes_on(self, backend: RestartableBackend) -> None:
        producer, worker = await backend.connect(), await backend.connect()
        consumer = await worker.queue.consumer("task-a", f"{backend.prefix}.task.a", ack_wait=2 * MOMENT)
        acknowledged: set[int] = set()
        received: set[int] = set()
        publishing = asyncio.create_task(_publish(producer, backend.prefix, acknowledged))
        fetching = asyncio.create_task(_fetch(consumer, received))
        try:
            for _ in range(2):
                reached = len(acknowledged) + 200
                await until(lambda goal=reached: _reached(acknowledged, goal))  # type: ignore[misc]
                await backend.kill()
                await backend.start()
            reached = len(acknowledged) + 200
            await until(lambda: _reached(acknowledged, reached))
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await until(lambda: _contains(received, acknowledged))
        finally:
            publishing.cancel()
            fetching.cancel()
            await asyncio.gather(publishing, fetching, return_exceptions=True)
        entries = await producer.log.read(f"{backend.prefix}.run.a")
        written = [int(entry.data) for entry in entries]
        assert len(written) == len(set(written))
        assert acknowledged <= set(written)
        assert written == sorted(written)

    async def test_following_goes_on_without_gaps_after_a_restart(self, backend: RestartableBackend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject = f"{backend.prefix}.live.a"
        subscription = await other.feed.follow(subject, live=True)
        messages = aiter(subscription)
        await one.feed.publish(subject, b"0")
        async with asyncio.timeout(3 * PATIENCE.total_seconds()):
            first = await anext(messages)
            await backend.kill()
            await backend.start()
            following = asyncio.create_task(_next(messages))
            while not following.done():
                await one.feed.publish(subject, b"1")
                await asyncio.wait({following}, timeout=0.05)
        assert first.data == b"0"
        assert following.result().data == b"1"
        assert following.result().sequence == first.sequence + 1


async def _next(messages: AsyncIterator[Message]) -> Message:
    return await anext(messages)


async def _publish(messaging: Messaging, prefix: str, acknowledged: set[int]) -> None:
    """Append to a log and publish, one number after the other; those that returned are acknowledged."""
    last, number = 0, 0
    while True:
        try:
            last = await messaging.log.append(f"{prefix}.run.a", b"%d" % number, expected=last)
            await messaging.queue.publish(f"{prefix}.task.a", b"%d" % number)
        except Retry:
            continue
        acknowledged.add(number)
        number += 1


async def _fetch(consumer: Consumer, received: set[int]) -> None:
    while True:
        try:
            for delivery in await consumer.fetch(16, LONG_WAIT):
                received.add(int(delivery.data))
                await delivery.ack()
        except Retry:
            continue


async def _reached(numbers: set[int], goal: int) -> bool:
    return len(numbers) >= goal


async def _contains(received: set[int], acknowledged: set[int]) -> bool:
    return acknowledged <= received
