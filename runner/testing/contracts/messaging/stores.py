"""Documents and blobs."""

import asyncio
import hashlib
import random

import pytest

from runner.errors import InvalidUsage, NeverRetry, UnknownThing
from runner.messaging.ports import SequenceConflict
from runner.testing.contracts.messaging.backend import Backend


class StoresContract:
    """`runner.messaging.ports.Documents` and `Blobs`."""

    async def test_a_document_reads_back_with_its_revision(self, backend: Backend) -> None:
        one, other = await backend.connect(), await backend.connect()
        revision = await one.documents("things").put("a/b.c_d=e-f", b"one")
        document = await other.documents("things").get("a/b.c_d=e-f")
        assert document is not None
        assert (document.key, document.data, document.revision) == ("a/b.c_d=e-f", b"one", revision)

    async def test_a_bucket_never_written_is_empty(self, backend: Backend) -> None:
        documents = (await backend.connect()).documents("nothing")
        assert await documents.get("a") is None
        assert await documents.keys() == []
        await documents.delete("a")

    async def test_put_checks_the_revision_it_is_given(self, backend: Backend) -> None:
        documents = (await backend.connect()).documents("things")
        first = await documents.put("a", b"one", expected=0)
        second = await documents.put("a", b"two", expected=first)
        for stale in (0, first):
            with pytest.raises(SequenceConflict):
                await documents.put("a", b"two", expected=stale)
        assert await documents.put("a", b"three") > second

    async def test_of_racing_creators_of_equal_documents_exactly_one_wins(self, backend: Backend) -> None:
        stores = [(await backend.connect()).documents("things") for _ in range(3)]
        tries = [stores[n % 3].put("lock", b"same", expected=0) for n in range(9)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, int) for result in results) == 1
        assert sum(isinstance(result, SequenceConflict) for result in results) == 8

    async def test_a_deleted_document_is_as_if_it_had_never_been(self, backend: Backend) -> None:
        documents = (await backend.connect()).documents("things")
        first = await documents.put("a", b"one")
        await documents.delete("a")
        await documents.delete("a")
        assert await documents.get("a") is None
        assert await documents.keys() == []
        assert await documents.put("a", b"two", expected=0) > first

    async def test_keys_are_sorted_and_filtered_by_the_prefix_of_their_text(self, backend: Backend) -> None:
        documents = (await backend.connect()).documents("things")
        names = ["b", "a/x", "a/y.z", "a/y=z", "ab", "a/y/1"]
        for name in names:
            await documents.put(name, b"")
        assert await documents.keys() == sorted(names)
        assert await documents.keys("a/") == ["a/x", "a/y.z", "a/y/1", "a/y=z"]
        assert await documents.keys("a/y") == ["a/y.z", "a/y/1", "a/y=z"]
        assert await documents.keys("a") == sorted(name for name in names if name.startswith("a"))

    async def test_buckets_are_apart(self, backend: Backend) -> None:
        messaging = await backend.connect()
        await messaging.documents("one").put("a", b"one")
        await messaging.documents("two").put("a", b"two")
        document = await messaging.documents("one").get("a")
        assert document is not None
        assert document.data == b"one"

    @pytest.mark.parametrize("key", ["", "/", "a//b", "a/", "a b", "a*", ">", "ä", "a\n"])
    async def test_a_malformed_key_is_refused(self, backend: Backend, key: str) -> None:
        documents = (await backend.connect()).documents("things")
        with pytest.raises(InvalidUsage):
            await documents.put(key, b"one")

    @pytest.mark.parametrize("size", [0, 1, 524_288, 524_289, 5 * 1024 * 1024 + 7])
    async def test_a_blob_reads_back_under_its_digest(self, backend: Backend, size: int) -> None:
        one, other = await backend.connect(), await backend.connect()
        data = random.Random(size).randbytes(size)  # noqa: S311 - test data
        digest = await one.blobs.put(data)
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert await other.blobs.has(digest)
        assert await other.blobs.get(digest) == data
        assert await other.blobs.put(data) == digest

    async def test_the_largest_blob_is_stored_and_a_larger_one_refused(self, backend: Backend) -> None:
        blobs = (await backend.connect()).blobs
        data = bytes(64 * 1024 * 1024)
        assert await blobs.get(await blobs.put(data)) == data
        with pytest.raises(NeverRetry, match=str(len(data) + 1)):
            await blobs.put(data + b"x")

    async def test_one_blob_stored_by_many_at_once_is_whole(self, backend: Backend) -> None:
        connections = [await backend.connect() for _ in range(3)]
        data = random.Random(1).randbytes(2 * 1024 * 1024)  # noqa: S311 - test data
        digests = await asyncio.gather(*(messaging.blobs.put(data) for messaging in connections))
        assert len(set(digests)) == 1
        assert await connections[0].blobs.get(digests[0]) == data

    async def test_an_unknown_digest_is_unknown(self, backend: Backend) -> None:
        blobs = (await backend.connect()).blobs
        for digest in (f"sha256:{'0' * 64}", "sha256:../x", "nonsense"):
            assert not await blobs.has(digest)
            with pytest.raises(UnknownThing):
                await blobs.get(digest)
