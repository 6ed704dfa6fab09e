"""Blobs: one message for a small one; for a large one its chunks, and a head that is written after them.

``<prefix>.blob.<hex>`` is the head. Without the header ``Tierform-Chunks`` it holds the bytes; with it, they are in
``<prefix>.blob.<hex>.<chunk size>.<index>``. Only a head makes a blob exist, so a writer that dies leaves nothing that
can be read; the same bytes put again complete it.
"""

import asyncio
import hashlib
import re

from runner.errors import NeverRetry, UnknownThing
from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.log import subjects
from runner.messaging.jetstream.publishing import Publisher
from runner.messaging.jetstream.reading import Stored, leader_last, read_all
from runner.messaging.jetstream.topology import Stream, Topology

MAX_BLOB_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 512 * 1024
_IN_FLIGHT = 8
_THREAD_BYTES = 256 * 1024
_CHUNKS, _SIZE = "Tierform-Chunks", "Tierform-Chunk-Bytes"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


async def digest_of(data: bytes) -> str:
    """``sha256:<hex>``; large bytes are hashed in a thread."""
    digest = hashlib.sha256(data) if len(data) < _THREAD_BYTES else await asyncio.to_thread(hashlib.sha256, data)
    return f"sha256:{digest.hexdigest()}"


class JetStreamBlobs:
    """`runner.messaging.ports.Blobs` over one stream, which is made by the first write."""

    def __init__(self, link: Link, publisher: Publisher, topology: Topology, stream: Stream) -> None:
        self._link = link
        self._publisher = publisher
        self._topology = topology
        self._stream = stream
        self._root = stream.subjects[0].removesuffix(">")
        self._made = False

    async def put(self, data: bytes) -> str:
        """See the port.

        Raises:
            NeverRetry: More than 64 MiB.
        """
        if len(data) > MAX_BLOB_BYTES:
            raise NeverRetry(f"storing a blob: {len(data)} bytes are more than the {MAX_BLOB_BYTES} allowed")
        digest = await digest_of(data)
        if await self.has(digest):
            return digest
        if not self._made:
            await self._topology.ensure(self._stream)
            self._made = True
        await self._write(self._subject(digest), data)
        return digest

    async def _write(self, subject: str, data: bytes) -> None:
        size = min(_CHUNK_BYTES, self._link.max_message_bytes)
        if len(data) <= size:
            await self._publisher.put("storing the blob", subject, data, {})
            return
        count = -(-len(data) // size)
        for first in range(0, count, _IN_FLIGHT):
            chunks = range(first, min(first + _IN_FLIGHT, count))
            await asyncio.gather(*(self._write_chunk(subject, data, size, index) for index in chunks))
        await self._publisher.put("storing the blob", subject, b"", {_CHUNKS: str(count), _SIZE: str(size)})

    async def _write_chunk(self, subject: str, data: bytes, size: int, index: int) -> None:
        chunk = data[index * size : (index + 1) * size]
        await self._publisher.put("storing the blob", f"{subject}.{size}.{index}", chunk, {})

    async def get(self, digest: str) -> bytes:
        """See the port."""
        head = await self._head(digest)
        if head is None:
            raise UnknownThing(f"no blob {digest[:80]!r} is stored")
        data = await self._chunks(head) if _CHUNKS in head.headers else head.data
        if await digest_of(data) != digest:
            raise UnknownThing(f"the stored blob {digest!r} was altered: its bytes have another digest")
        return data

    async def has(self, digest: str) -> bool:
        """See the port."""
        return await self._head(digest) is not None

    async def digests(self) -> list[str]:
        """See the port."""
        found = await subjects(self._link, self._stream.name, f"{self._root}*")
        return sorted(f"sha256:{subject.removeprefix(self._root)}" for subject in found)

    async def _head(self, digest: str) -> Stored | None:
        if not _DIGEST.match(digest):
            return None
        subject = self._subject(digest)
        return await leader_last(self._link, self._stream.name, subject, f"reading the blob {digest!r}")

    async def _chunks(self, head: Stored) -> bytes:
        count, size = int(head.headers[_CHUNKS]), head.headers[_SIZE]
        pattern = f"{head.subject}.{size}.*"
        stored = await read_all(self._link, self._stream.name, pattern, 0, f"reading the blob {head.subject!r}")
        chunks = {int(chunk.subject.rpartition(".")[2]): chunk.data for chunk in stored}
        return b"".join(chunks.get(index, b"") for index in range(count))

    def _subject(self, digest: str) -> str:
        return self._root + digest.removeprefix("sha256:")
