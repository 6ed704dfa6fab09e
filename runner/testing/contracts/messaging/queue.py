"""Work queues."""

import asyncio
from datetime import timedelta

import pytest

from runner.errors import InvalidUsage, NeverRetry, Unreachable
from runner.messaging.ports import Consumer, Messaging
from runner.testing.contracts.messaging.backend import ACK_WAIT, LONG_WAIT, MOMENT, PATIENCE, Backend, fetch_all, until


async def _tasks(
    messaging: Messaging, backend: Backend, *, ack_wait: timedelta = LONG_WAIT, limit: int = -1
) -> tuple[str, Consumer]:
    subject = f"{backend.prefix}.task.a"
    consumer = await messaging.queue.consumer("task-a", subject, ack_wait=ack_wait, max_unacknowledged=limit)
    return subject, consumer


class QueueContract:
    """`runner.messaging.ports.Queue`, `Consumer` and `Delivery`."""

    async def test_a_message_is_delivered_with_its_subject_body_and_count(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        await messaging.queue.publish(subject, b"work")
        (delivery,) = await consumer.fetch(10, PATIENCE)
        assert (delivery.subject, delivery.data, delivery.count) == (subject, b"work", 1)

    async def test_a_message_waits_for_its_consumer_to_be_made(self, backend: Backend) -> None:
        messaging = await backend.connect()
        await messaging.queue.publish(f"{backend.prefix}.task.a", b"early")
        _, consumer = await _tasks(messaging, backend)
        assert [delivery.data for delivery in await consumer.fetch(10, PATIENCE)] == [b"early"]

    async def test_one_subject_is_delivered_in_order(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        for number in range(300):
            await messaging.queue.publish(subject, b"%d" % number)
        deliveries = await fetch_all(consumer, 300, batch=7)
        assert [int(delivery.data) for delivery in deliveries] == list(range(300))

    async def test_the_same_message_id_is_stored_once(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject, consumer = await _tasks(one, backend)
        for messaging in (one, other, one):
            await messaging.queue.publish(subject, b"work", message_id="id ü / 1")
        await one.queue.publish(subject, b"more", message_id="x" * 5000)
        await one.queue.publish(subject, b"more", message_id="x" * 5000)
        await one.queue.publish(subject, b"last")
        assert [delivery.data for delivery in await fetch_all(consumer, 3)] == [b"work", b"more", b"last"]
        assert await consumer.fetch(1, MOMENT) == []

    async def test_without_an_id_equal_messages_are_two(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        await messaging.queue.publish(subject, b"work")
        await messaging.queue.publish(subject, b"work")
        assert len(await fetch_all(consumer, 2)) == 2

    async def test_an_acknowledged_message_is_gone(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend, ack_wait=ACK_WAIT)
        await messaging.queue.publish(subject, b"work")
        (delivery,) = await consumer.fetch(1, PATIENCE)
        await delivery.ack()
        assert await consumer.fetch(1, 2 * ACK_WAIT) == []

    async def test_an_unacknowledged_message_comes_again_with_a_higher_count(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend, ack_wait=ACK_WAIT)
        await messaging.queue.publish(subject, b"work")
        counts = [(await fetch_all(consumer, 1))[0].count for _ in range(3)]
        assert counts == [1, 2, 3]

    async def test_what_a_dead_connection_held_goes_to_another(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject, consumer = await _tasks(one, backend, ack_wait=ACK_WAIT)
        await one.queue.publish(subject, b"work")
        assert len(await consumer.fetch(1, PATIENCE)) == 1
        await one.close()
        _, successor = await _tasks(other, backend, ack_wait=ACK_WAIT)
        (delivery,) = await fetch_all(successor, 1)
        assert (delivery.data, delivery.count) == (b"work", 2)

    async def test_signs_of_life_keep_a_delivery(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend, ack_wait=ACK_WAIT)
        await messaging.queue.publish(subject, b"work")
        (delivery,) = await consumer.fetch(1, PATIENCE)
        for _ in range(8):
            await delivery.in_progress()
            assert await consumer.fetch(1, ACK_WAIT / 4) == []
        (again,) = await fetch_all(consumer, 1)
        assert again.count == 2

    async def test_a_late_acknowledgement_is_accepted(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend, ack_wait=ACK_WAIT)
        await messaging.queue.publish(subject, b"work")
        (first,) = await consumer.fetch(1, PATIENCE)
        (second,) = await fetch_all(consumer, 1)
        assert second.count == 2
        await first.ack()
        assert await consumer.fetch(1, 2 * ACK_WAIT) == []

    async def test_handing_back_delivers_again_at_once_or_after_the_delay(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        await messaging.queue.publish(subject, b"work")
        loop = asyncio.get_running_loop()
        (first,) = await consumer.fetch(1, PATIENCE)
        await first.nak()
        (second,) = await fetch_all(consumer, 1)
        started = loop.time()
        await second.nak(ACK_WAIT)
        (third,) = await fetch_all(consumer, 1)
        assert (second.count, third.count) == (2, 3)
        assert loop.time() - started >= ACK_WAIT.total_seconds() * 0.9

    async def test_fetch_returns_as_soon_as_there_is_one(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        waiting = asyncio.create_task(consumer.fetch(100, LONG_WAIT))
        await asyncio.sleep(0)
        await messaging.queue.publish(subject, b"work")
        async with asyncio.timeout(5):
            assert len(await waiting) == 1

    async def test_fetch_is_empty_after_its_wait(self, backend: Backend) -> None:
        messaging = await backend.connect()
        _, consumer = await _tasks(messaging, backend)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await consumer.fetch(5, 3 * MOMENT) == []
        assert 3 * MOMENT.total_seconds() * 0.9 <= loop.time() - started < 5

    async def test_a_cancelled_fetch_loses_nothing(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        for number in range(100):
            waiting = asyncio.create_task(consumer.fetch(10, LONG_WAIT))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            await messaging.queue.publish(subject, b"%d" % number)
            waiting.cancel()
            done = await asyncio.gather(waiting, return_exceptions=True)
            found = [] if isinstance(done[0], BaseException) else done[0]
            found = found or await fetch_all(consumer, 1)
            assert [int(delivery.data) for delivery in found] == [number]

    async def test_what_arrives_after_a_fetch_waits_for_the_next(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        await messaging.queue.publish(subject, b"0")
        assert len(await consumer.fetch(50, PATIENCE)) == 1
        for number in range(1, 40):
            await messaging.queue.publish(subject, b"%d" % number)
        found = await fetch_all(consumer, 39, batch=10)
        assert [(int(delivery.data), delivery.count) for delivery in found] == [(n, 1) for n in range(1, 40)]

    async def test_closing_hands_back_what_was_not_fetched(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject, consumer = await _tasks(one, backend)
        await one.queue.publish(subject, b"0")
        assert len(await consumer.fetch(50, PATIENCE)) == 1
        for number in range(1, 10):
            await one.queue.publish(subject, b"%d" % number)
        await consumer.close()
        _, successor = await _tasks(other, backend)
        found = await fetch_all(successor, 9)
        assert sorted(int(delivery.data) for delivery in found) == list(range(1, 10))

    async def test_two_connections_share_the_work(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject, left = await _tasks(one, backend)
        _, right = await _tasks(other, backend)
        for number in range(60):
            await one.queue.publish(subject, b"%d" % number)
        seen: list[int] = []
        shares = []
        for consumer in (left, right):
            deliveries = await fetch_all(consumer, 30, batch=10)
            seen += [int(delivery.data) for delivery in deliveries]
            shares.append(len(deliveries))
        assert sorted(seen) == list(range(60))
        assert shares == [30, 30]

    async def test_no_more_than_the_limit_is_unacknowledged_at_once(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend, limit=2)
        for number in range(4):
            await messaging.queue.publish(subject, b"%d" % number)
        held = await fetch_all(consumer, 2)
        assert await consumer.fetch(4, MOMENT) == []
        await held[0].ack()
        assert len(await fetch_all(consumer, 1)) == 1

    async def test_consumers_of_other_subjects_get_none_of_it(self, backend: Backend) -> None:
        messaging = await backend.connect()
        queue, prefix = messaging.queue, backend.prefix
        narrow = await queue.consumer("event-0", f"{prefix}.event.0.>", ack_wait=LONG_WAIT)
        other = await queue.consumer("event-1", f"{prefix}.event.1.>", ack_wait=LONG_WAIT)
        await queue.publish(f"{prefix}.event.0.x", b"zero")
        assert await other.fetch(1, MOMENT) == []
        assert [delivery.subject for delivery in await narrow.fetch(1, PATIENCE)] == [f"{prefix}.event.0.x"]

    async def test_the_figures_of_a_consumer(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        for number in range(5):
            await messaging.queue.publish(subject, b"%d" % number)
        held = await fetch_all(consumer, 2)
        state = await consumer.state()
        assert (state.pending, state.unacknowledged) == (3, 2)
        await held[0].ack()
        assert await until(lambda: _is_state(consumer, (3, 1)))

    async def test_too_large_or_misdirected_messages_are_refused(self, backend: Backend) -> None:
        messaging = await backend.connect()
        limit = messaging.capabilities.max_message_bytes
        with pytest.raises(NeverRetry, match=str(limit + 1)):
            await messaging.queue.publish(f"{backend.prefix}.task.a", bytes(limit + 1))
        with pytest.raises(InvalidUsage):
            await messaging.queue.publish(f"{backend.prefix}.run.a", b"one")

    async def test_a_closed_connection_says_so(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subject, consumer = await _tasks(messaging, backend)
        await messaging.close()
        await messaging.close()
        with pytest.raises(Unreachable):
            await messaging.queue.publish(subject, b"work")
        with pytest.raises(Unreachable):
            await consumer.fetch(1, MOMENT)


async def _is_state(consumer: Consumer, figures: tuple[int, int]) -> bool:
    state = await consumer.state()
    return (state.pending, state.unacknowledged) == figures
