"""Looking at what is kept, and removing some of it: what the archive, retention and backups need."""

from datetime import timedelta

import pytest

from runner.messaging.ports import Log, SequenceConflict
from runner.testing.contracts.messaging.backend import LONG_WAIT, Backend, fetch_all, until


async def _scanned(log: Log, pattern: str, limit: int) -> list[tuple[str, bytes]]:
    found, start = [], 0
    while page := await log.scan(pattern, start=start, limit=limit):
        found += [(entry.subject, entry.data) for entry in page]
        start = page[-1].sequence + 1
    return found


class KeepingContract:
    """The parts of the ports that look at everything at once."""

    async def test_of_an_archive_subject_the_newest_entry_alone_is_kept(self, backend: Backend) -> None:
        log, subject = (await backend.connect()).log, f"{backend.prefix}.done.a"
        assert await log.last(subject) is None
        assert await log.scan(f"{backend.prefix}.done.>") == []
        await log.purge(subject)
        first = await log.append(subject, b"one", expected=0)
        assert await log.append(subject, b"one", expected=0) == first
        second = await log.append(subject, b"two", expected=first)
        with pytest.raises(SequenceConflict):
            await log.append(subject, b"three", expected=first)
        assert [(entry.sequence, entry.data) for entry in await log.read(subject)] == [(second, b"two")]
        assert await log.subjects(f"{backend.prefix}.done") == {subject: 1}

    async def test_a_scan_reads_all_matching_subjects_in_the_order_they_were_written(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        written = [(f"{backend.prefix}.run.{n % 7}", b"%d" % n) for n in range(60)]
        for subject, data in written:
            await log.append(subject, data)
            await log.append(f"{backend.prefix}.response.{data.decode()}", b"other")
        assert await _scanned(log, f"{backend.prefix}.run.*", 13) == written
        assert await _scanned(log, f"{backend.prefix}.run.>", 1000) == written
        assert await _scanned(log, f"{backend.prefix}.run.none", 1000) == []

    async def test_a_purge_through_a_sequence_leaves_what_is_newer(self, backend: Backend) -> None:
        log, subject = (await backend.connect()).log, f"{backend.prefix}.run.cut"
        sequences = [await log.append(subject, b"%d" % n) for n in range(5)]
        other = await log.append(f"{backend.prefix}.run.other", b"stays")
        await log.purge(subject, through=sequences[2])
        assert [entry.data for entry in await log.read(subject)] == [b"3", b"4"]
        await log.purge(subject, through=other)
        assert await log.read(subject) == []
        assert await log.append(subject, b"anew", expected=0) > other
        assert await log.last(f"{backend.prefix}.run.other") is not None

    async def test_what_a_queue_stores_can_be_looked_at_without_taking_it(self, backend: Backend) -> None:
        queue, pattern = (await backend.connect()).queue, f"{backend.prefix}.event.1.>"
        assert await queue.stored(pattern) == []
        consumer = await queue.consumer("event-1", pattern, ack_wait=LONG_WAIT)
        for n in range(3):
            await queue.publish(f"{backend.prefix}.event.1.{n}", b"%d" % n)
        await queue.publish(f"{backend.prefix}.event.2.x", b"unclaimed")
        taken = await fetch_all(consumer, 3)
        await taken[0].ack()

        async def two_left() -> bool:
            return [message.data for message in await queue.stored(pattern)] == [b"1", b"2"]

        await until(two_left)
        assert [message.data for message in await queue.stored(f"{backend.prefix}.event.>")] == [
            b"1",
            b"2",
            b"unclaimed",
        ]
        await consumer.close()

    async def test_what_a_queue_discards_is_never_delivered_again(self, backend: Backend) -> None:
        queue, pattern = (await backend.connect()).queue, f"{backend.prefix}.event.3.>"
        consumer = await queue.consumer("event-3", pattern, ack_wait=timedelta(seconds=0.3))
        for n in range(3):
            await queue.publish(f"{backend.prefix}.event.3.{n}", b"%d" % n)
        await fetch_all(consumer, 1, batch=1)
        await queue.discard(f"{backend.prefix}.event.>")
        assert await queue.stored(f"{backend.prefix}.event.>") == []
        await queue.publish(f"{backend.prefix}.event.3.x", b"after")
        while True:
            delivery = (await fetch_all(consumer, 1))[0]
            await delivery.ack()
            if delivery.data == b"after":
                break  # Before it may come what had been handed over already.
        assert await consumer.fetch(8, timedelta(seconds=0.6)) == []
        await consumer.close()

    async def test_blobs_are_listed_by_their_digests(self, backend: Backend) -> None:
        blobs = (await backend.connect()).blobs
        assert await blobs.digests() == []
        stored = {await blobs.put(data) for data in (b"small", b"large" * 400_000)}
        assert await blobs.digests() == sorted(stored)

    async def test_a_forgotten_subject_is_gone_from_the_journal_and_the_others_stay(self, backend: Backend) -> None:
        feed = (await backend.connect()).feed
        mine, other = f"{backend.prefix}.live.mine", f"{backend.prefix}.live.other"
        for subject in (mine, other):
            await feed.publish(subject, b"said")

        async def kept() -> list[str]:
            subscription = await feed.follow(f"{backend.prefix}.live.>", live=False)
            return sorted([message.subject async for message in subscription])

        async def both() -> bool:
            return await kept() == [mine, other]

        await until(both)
        await feed.forget(mine)
        assert await kept() == [other]
