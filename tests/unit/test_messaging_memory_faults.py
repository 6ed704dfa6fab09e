"""The memory bus does on request what a real one does now and then."""

from datetime import timedelta

import pytest

from runner.errors import Unreachable
from runner.messaging.memory import Faults, MemoryBus

RUN, TASK = "tierform.run.a", "tierform.task.a"
SECOND = timedelta(seconds=1)


async def _consumer(messaging, ack_wait=SECOND):
    return await messaging.queue.consumer("task-a", TASK, ack_wait=ack_wait)


async def _published(bus, count):
    messaging = bus.connect()
    for number in range(count):
        await messaging.queue.publish(TASK, b"%d" % number)
    return messaging


async def test_a_lost_answer_leaves_its_effect_and_the_repeated_call_recognises_it():
    bus = MemoryBus(Faults(answer_lost=1.0))
    messaging = bus.connect()
    with pytest.raises(Unreachable):
        await messaging.log.append(RUN, b"one", expected=0)
    bus.faults.active = False
    assert await messaging.log.append(RUN, b"one", expected=0) == 1
    assert len(await messaging.log.read(RUN)) == 1


async def test_a_lost_request_has_no_effect():
    bus = MemoryBus(Faults(request_lost=1.0))
    messaging = bus.connect()
    with pytest.raises(Unreachable):
        await messaging.log.append(RUN, b"one", expected=0)
    bus.faults.active = False
    assert await messaging.log.read(RUN) == []


async def test_what_a_fetch_lost_comes_again():
    bus = MemoryBus()
    messaging = await _published(bus, 1)
    consumer = await _consumer(messaging, timedelta(seconds=0.05))
    bus.faults.answer_lost = 1.0
    with pytest.raises(Unreachable):
        await consumer.fetch(1, SECOND)
    bus.faults.active = False
    (delivery,) = await consumer.fetch(1, SECOND)
    assert delivery.count == 2


async def test_a_lost_acknowledgement_means_another_delivery():
    bus = MemoryBus(Faults(ack_lost=1.0))
    consumer = await _consumer(await _published(bus, 1), timedelta(seconds=0.05))
    for count in (1, 2):
        (delivery,) = await consumer.fetch(1, SECOND)
        assert delivery.count == count
        await delivery.ack()


async def test_a_duplicated_message_is_delivered_twice_at_once():
    bus = MemoryBus(Faults(duplicated=1.0))
    consumer = await _consumer(await _published(bus, 1), timedelta(hours=1))
    assert [(await consumer.fetch(1, SECOND))[0].count for _ in range(2)] == [1, 2]


async def test_reordered_messages_all_come_in_the_order_of_the_seed():
    orders = []
    for seed in (1, 1, 2):
        consumer = await _consumer(await _published(MemoryBus(Faults(seed=seed, reordered=1.0)), 20))
        orders.append([int(delivery.data) for delivery in await consumer.fetch(20, SECOND)])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(20))
    assert orders[0] != list(range(20))


async def test_a_delayed_message_is_not_there_at_first():
    bus = MemoryBus(Faults(delayed=1.0, longest_delay_seconds=0.2))
    messaging = bus.connect()
    consumer = await _consumer(messaging)
    await messaging.queue.publish(TASK, b"late")
    assert await consumer.fetch(1, timedelta(0)) == []
    assert [delivery.data for delivery in await consumer.fetch(1, SECOND)] == [b"late"]


async def test_a_killed_connection_takes_nothing_with_it():
    bus = MemoryBus()
    messaging = await _published(bus, 1)
    await messaging.log.append(RUN, b"one")
    consumer = await _consumer(messaging, timedelta(seconds=0.05))
    (held,) = await consumer.fetch(1, SECOND)
    messaging.kill()
    await held.ack()
    with pytest.raises(Unreachable):
        await messaging.log.last(RUN)
    successor = bus.connect()
    (again,) = await (await _consumer(successor, timedelta(seconds=0.05))).fetch(1, SECOND)
    assert again.count == 2
    assert [entry.data for entry in await successor.log.read(RUN)] == [b"one"]


async def test_what_was_stored_does_not_change_with_the_writers_buffer():
    messaging = MemoryBus().connect()
    buffer = bytearray(b"one")
    await messaging.log.append(RUN, buffer)
    buffer[:] = b"two"
    assert [entry.data for entry in await messaging.log.read(RUN)] == [b"one"]
