"""Logs."""

import asyncio

import pytest

from runner.errors import InvalidUsage, NeverRetry
from runner.messaging.ports import SequenceConflict
from runner.testing.contracts.messaging.backend import Backend


class LogContract:
    """`runner.messaging.ports.Log`."""

    async def test_append_returns_growing_sequences_and_last_is_the_newest(self, backend: Backend) -> None:
        log, subject = (await backend.connect()).log, f"{backend.prefix}.run.a"
        first = await log.append(subject, b"one", expected=0)
        second = await log.append(subject, b"two", expected=first)
        last = await log.last(subject)
        assert second > first > 0
        assert last is not None
        assert (last.subject, last.sequence, last.data) == (subject, second, b"two")
        assert last.at.tzinfo is not None

    async def test_a_subject_without_entries_has_no_last_and_reads_empty(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        assert await log.last(f"{backend.prefix}.run.none") is None
        assert await log.read(f"{backend.prefix}.run.none") == []

    async def test_of_racing_writers_exactly_one_wins_and_the_others_learn_it(self, backend: Backend) -> None:
        connections = [await backend.connect() for _ in range(3)]
        subject = f"{backend.prefix}.run.race"
        tries = [connections[n % 3].log.append(subject, b"%d" % n, expected=0) for n in range(12)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        won = [result for result in results if isinstance(result, int)]
        assert len(won) == 1
        assert all(isinstance(result, int | SequenceConflict) for result in results)
        assert [entry.sequence for entry in await connections[0].log.read(subject)] == won

    async def test_a_stale_expectation_writes_nothing(self, backend: Backend) -> None:
        log, subject = (await backend.connect()).log, f"{backend.prefix}.run.stale"
        first = await log.append(subject, b"one")
        await log.append(subject, b"two", expected=first)
        with pytest.raises(SequenceConflict):
            await log.append(subject, b"three", expected=first)
        assert [entry.data for entry in await log.read(subject)] == [b"one", b"two"]

    async def test_an_expectation_of_another_subjects_sequence_does_not_hold(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        other = await log.append(f"{backend.prefix}.run.other", b"one")
        with pytest.raises(SequenceConflict):
            await log.append(f"{backend.prefix}.run.mine", b"one", expected=other)
        assert await log.append(f"{backend.prefix}.run.mine", b"one", expected=0) > other

    async def test_the_same_append_again_is_recognised(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject = f"{backend.prefix}.run.again"
        first = await one.log.append(subject, b"one", expected=0)
        assert await other.log.append(subject, b"one", expected=0) == first
        second = await one.log.append(subject, b"two", expected=first)
        assert await one.log.append(subject, b"two", expected=first) == second
        with pytest.raises(SequenceConflict):
            await one.log.append(subject, b"one", expected=0)
        assert len(await one.log.read(subject)) == 2

    async def test_the_same_bytes_may_follow_themselves(self, backend: Backend) -> None:
        log, subject = (await backend.connect()).log, f"{backend.prefix}.run.same"
        first = await log.append(subject, b"x", expected=0)
        second = await log.append(subject, b"x", expected=first)
        third = await log.append(subject, b"x")
        assert first < second < third
        assert len(await log.read(subject)) == 3

    async def test_what_one_connection_wrote_another_reads_at_once(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        subject = f"{backend.prefix}.run.shared"
        for number in range(20):
            sequence = await one.log.append(subject, b"%d" % number)
            last = await other.log.last(subject)
            assert last is not None
            assert last.sequence == sequence
            assert (await other.log.read(subject))[-1].sequence == sequence

    async def test_read_gives_one_subject_in_order_from_a_sequence_on(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        mine, other = f"{backend.prefix}.run.mine", f"{backend.prefix}.run.mine.not"
        sequences = []
        for number in range(1500):
            sequences.append(await log.append(mine, b"%d" % number))
            if number % 100 == 0:
                await log.append(other, b"other")
        assert [entry.data for entry in await log.read(mine)] == [b"%d" % number for number in range(1500)]
        assert [entry.sequence for entry in await log.read(mine, start=sequences[1400])] == sequences[1400:]
        assert await log.read(mine, start=sequences[-1] + 1) == []

    async def test_large_entries_read_back_whole(self, backend: Backend) -> None:
        messaging, subject = await backend.connect(), f"{backend.prefix}.run.large"
        bodies = [bytes([number]) * 700_000 for number in range(12)]
        for body in bodies:
            await messaging.log.append(subject, body)
        assert [entry.data for entry in await messaging.log.read(subject)] == bodies

    async def test_empty_entries_are_entries(self, backend: Backend) -> None:
        log, subject = (await backend.connect()).log, f"{backend.prefix}.run.empty"
        await log.append(subject, b"", expected=0)
        assert [entry.data for entry in await log.read(subject)] == [b""]

    async def test_subjects_lists_those_below_a_prefix_with_their_numbers(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        for name, count in {"run.a": 2, "run.b.c": 1, "response.a.1": 1}.items():
            for number in range(count):
                await log.append(f"{backend.prefix}.{name}", b"%d" % number)
        runs = await log.subjects(f"{backend.prefix}.run")
        assert runs == {f"{backend.prefix}.run.a": 2, f"{backend.prefix}.run.b.c": 1}
        assert await log.subjects(f"{backend.prefix}.dead") == {}

    async def test_purge_empties_one_subject_which_then_starts_at_zero(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        gone, kept = f"{backend.prefix}.run.gone", f"{backend.prefix}.run.kept"
        before = await log.append(gone, b"one")
        await log.append(kept, b"one")
        await log.purge(gone)
        await log.purge(f"{backend.prefix}.run.never")
        assert await log.read(gone) == []
        assert await log.append(gone, b"one", expected=0) > before
        assert len(await log.read(kept)) == 1

    async def test_remove_takes_one_entry_out_and_leaves_the_others(self, backend: Backend) -> None:
        log = (await backend.connect()).log
        subject = f"{backend.prefix}.dead.event.a"
        sequences = [await log.append(subject, b"%d" % number) for number in range(3)]
        await log.remove(subject, sequences[1])
        await log.remove(subject, sequences[1])
        assert [entry.data for entry in await log.read(subject)] == [b"0", b"2"]

    async def test_too_large_an_entry_is_refused_with_both_sizes(self, backend: Backend) -> None:
        messaging = await backend.connect()
        limit = messaging.capabilities.max_message_bytes
        await messaging.log.append(f"{backend.prefix}.run.most", bytes(limit), expected=0)
        with pytest.raises(NeverRetry, match=rf"{limit + 1}.*{limit}"):
            await messaging.log.append(f"{backend.prefix}.run.more", bytes(limit + 1), expected=0)
        assert await messaging.log.last(f"{backend.prefix}.run.more") is None

    async def test_too_long_a_subject_is_refused_and_the_connection_lives_on(self, backend: Backend) -> None:
        messaging = await backend.connect()
        with pytest.raises(InvalidUsage):
            await messaging.log.append(f"{backend.prefix}.run.{'x' * 10_000}", b"one")
        assert await messaging.log.append(f"{backend.prefix}.run.{'x' * 2_000}", b"one") > 0

    async def test_a_subject_of_no_log_is_refused(self, backend: Backend) -> None:
        messaging = await backend.connect()
        with pytest.raises(InvalidUsage):
            await messaging.log.append(f"{backend.prefix}.task.a", b"one")
