"""The feed."""

import asyncio
from datetime import timedelta

import pytest

from runner.errors import Unreachable
from runner.messaging.ports import Feed, Message, Requests, Subscription
from runner.testing.contracts.messaging.backend import PATIENCE, Backend, until


async def _take(subscription: Subscription, count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(PATIENCE.total_seconds()):
        async for message in subscription:
            found.append(message)
            if len(found) == count:
                return found
    return found


async def _answer(requests: Requests, name: bytes) -> None:
    async for request in requests:
        await request.reply(name + b":" + request.data)


async def _journal(feed: Feed, subject: str, count: int) -> list[Message]:
    """The journal once it has so many messages: storing them is not waited for by their publisher."""

    async def read() -> list[Message]:
        found = [message async for message in await feed.follow(subject, live=False)]
        return found if len(found) >= count else []

    return await until(read)


class FeedContract:
    """`runner.messaging.ports.Feed`."""

    async def test_who_listens_gets_what_is_published_from_then_on(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subscription = await other.feed.subscribe(f"{backend.prefix}.beat.*.a")
        await one.feed.publish(f"{backend.prefix}.beat.agent.b", b"not this")
        await one.feed.publish(f"{backend.prefix}.beat.agent.a", b"1")
        await one.feed.publish(f"{backend.prefix}.beat.engine.a", b"2")
        found = await _take(subscription, 2)
        assert [(message.data, message.sequence) for message in found] == [(b"1", 0), (b"2", 0)]

    async def test_a_closed_subscription_ends_its_iteration(self, backend: Backend) -> None:
        feed = (await backend.connect()).feed
        for subscription in (
            await feed.subscribe(f"{backend.prefix}.beat.>"),
            await feed.follow(f"{backend.prefix}.live.a", live=True),
        ):
            waiting = asyncio.create_task(_take(subscription, 1))
            await asyncio.sleep(0)
            await subscription.close()
            await subscription.close()
            async with asyncio.timeout(PATIENCE.total_seconds()):
                assert await waiting == []

    async def test_a_closed_connection_ends_the_iteration(self, backend: Backend) -> None:
        messaging = await backend.connect()
        subscription = await messaging.feed.subscribe(f"{backend.prefix}.beat.>")
        waiting = asyncio.create_task(_take(subscription, 1))
        await asyncio.sleep(0)
        await messaging.close()
        async with asyncio.timeout(PATIENCE.total_seconds()):
            assert await waiting == []

    async def test_the_journal_has_what_was_published_in_order_and_then_ends(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject = f"{backend.prefix}.live.a"
        for number in range(500):
            await one.feed.publish(subject, b"%d" % number)
            await one.feed.publish(f"{backend.prefix}.live.b", b"other")
        found = await _journal(other.feed, subject, 500)
        assert [int(message.data) for message in found] == list(range(500))
        sequences = [message.sequence for message in found]
        assert sequences == sorted(set(sequences))
        assert sequences[0] > 0

    async def test_an_empty_journal_ends_at_once(self, backend: Backend) -> None:
        feed = (await backend.connect()).feed
        async with asyncio.timeout(5):
            assert [m async for m in await feed.follow(f"{backend.prefix}.live.none", live=False)] == []

    async def test_following_replays_the_journal_and_goes_on_live(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject = f"{backend.prefix}.live.a"
        for number in range(3):
            await one.feed.publish(subject, b"%d" % number)
        await _journal(one.feed, subject, 3)
        subscription = await other.feed.follow(subject, live=True)
        assert [m.data for m in await _take(subscription, 3)] == [b"0", b"1", b"2"]
        for number in range(3, 200):
            await one.feed.publish(subject, b"%d" % number)
        assert [int(m.data) for m in await _take(subscription, 197)] == list(range(3, 200))

    async def test_a_request_is_answered_by_one_of_those_who_serve(self, backend: Backend) -> None:
        one, other, asker = [await backend.connect() for _ in range(3)]
        subject = f"{backend.prefix}.ask.module"
        servers = [
            asyncio.create_task(_answer(await messaging.feed.serve(subject), name))
            for messaging, name in ((one, b"one"), (other, b"other"))
        ]
        try:
            tries = [asker.feed.request(subject, b"%d" % n, PATIENCE) for n in range(60)]
            answers = await asyncio.gather(*tries)
        finally:
            for server in servers:
                server.cancel()
        assert [int(answer.partition(b":")[2]) for answer in answers] == list(range(60))
        assert {answer.partition(b":")[0] for answer in answers} == {b"one", b"other"}

    async def test_a_request_nobody_serves_fails_at_once(self, backend: Backend) -> None:
        feed = (await backend.connect()).feed
        async with asyncio.timeout(5):
            with pytest.raises(Unreachable):
                await feed.request(f"{backend.prefix}.ask.nobody", b"", timedelta(seconds=30))

    async def test_a_request_without_an_answer_fails_after_its_time(self, backend: Backend) -> None:
        feed = (await backend.connect()).feed
        await feed.serve(f"{backend.prefix}.ask.silent")
        async with asyncio.timeout(5):
            with pytest.raises(Unreachable):
                await feed.request(f"{backend.prefix}.ask.silent", b"", timedelta(seconds=0.2))

    async def test_publishing_on_a_closed_connection_is_silent(self, backend: Backend) -> None:
        messaging = await backend.connect()
        await messaging.close()
        await messaging.feed.publish(f"{backend.prefix}.beat.agent.a", b"")
