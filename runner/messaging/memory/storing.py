"""Logs, documents and blobs in memory."""

import hashlib

from runner.errors import NeverRetry, UnknownThing
from runner.messaging.memory.connection import Connection
from runner.messaging.ports import Document, Entry, SequenceConflict
from runner.messaging.rules import ARCHIVE, check_key, check_log_subject, matches

MAX_BLOB_BYTES = 64 * 1024 * 1024


class MemoryLog:
    """`runner.messaging.ports.Log`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bus = connection.bus

    async def append(self, subject: str, data: bytes, *, expected: int | None = None) -> int:
        """See the port."""
        check_log_subject(self._bus.prefix, subject)
        body = self._connection.check("appending to", subject, data)
        return await self._connection.call(f"appending to {subject!r}", lambda: self._append(subject, body, expected))

    def _append(self, subject: str, data: bytes, expected: int | None) -> int:
        entries = self._bus.logs.setdefault(subject, [])
        last = entries[-1].sequence if entries else 0
        if expected is not None and expected != last:
            if last > expected and entries[-1].data == data:
                return last
            raise SequenceConflict(f"appending to {subject!r}: the last sequence is {last}, not {expected}")
        entry = Entry(subject, self._bus.next_sequence(), data, self._bus.clock())
        entries.append(entry)
        if subject.startswith(f"{self._bus.prefix}.{ARCHIVE}."):
            del entries[:-1]
        return entry.sequence

    async def last(self, subject: str) -> Entry | None:
        """See the port."""
        entries = await self.read(subject)
        return entries[-1] if entries else None

    async def read(self, subject: str, *, start: int = 0) -> list[Entry]:
        """See the port."""
        return await self._connection.call(
            f"reading {subject!r}",
            lambda: [entry for entry in self._bus.logs.get(subject, []) if entry.sequence >= start],
        )

    async def subjects(self, prefix: str) -> dict[str, int]:
        """See the port."""
        return await self._connection.call(
            f"listing the subjects below {prefix!r}",
            lambda: {
                name: len(entries)
                for name, entries in self._bus.logs.items()
                if entries and name.startswith(f"{prefix}.")
            },
        )

    async def scan(self, pattern: str, *, start: int = 0, limit: int = 1024) -> list[Entry]:
        """See the port."""

        def effect() -> list[Entry]:
            logs = [entries for name, entries in self._bus.logs.items() if matches(pattern, name)]
            found = [entry for entries in logs for entry in entries if entry.sequence >= start]
            return sorted(found, key=lambda entry: entry.sequence)[:limit]

        return await self._connection.call(f"reading {pattern!r}", effect)

    async def purge(self, subject: str, *, through: int | None = None) -> None:
        """See the port."""

        def effect() -> None:
            left = [
                entry for entry in self._bus.logs.pop(subject, []) if through is not None and entry.sequence > through
            ]
            if left:
                self._bus.logs[subject] = left

        await self._connection.call(f"purging {subject!r}", effect)

    async def remove(self, subject: str, sequence: int) -> None:
        """See the port."""

        def effect() -> None:
            entries = self._bus.logs.get(subject, [])
            entries[:] = [entry for entry in entries if entry.sequence != sequence]

        await self._connection.call(f"removing entry {sequence} of {subject!r}", effect)


class MemoryDocuments:
    """`runner.messaging.ports.Documents`."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bus = connection.bus
        self._bucket = bucket

    @property
    def _documents(self) -> dict[str, Document]:
        return self._bus.documents.setdefault(self._bucket, {})

    async def get(self, key: str) -> Document | None:
        """See the port."""
        check_key(key)
        return await self._connection.call(f"reading the document {key!r}", lambda: self._documents.get(key))

    async def put(self, key: str, data: bytes, *, expected: int | None = None) -> int:
        """See the port."""
        check_key(key)
        body = self._connection.check("writing the document", key, data)
        return await self._connection.call(f"writing the document {key!r}", lambda: self._put(key, body, expected))

    def _put(self, key: str, data: bytes, expected: int | None) -> int:
        current = self._documents.get(key)
        revision = current.revision if current else 0
        if expected is not None and expected != revision:
            raise SequenceConflict(f"writing the document {key!r}: the revision is {revision}, not {expected}")
        document = Document(key, data, self._bus.next_sequence())
        self._documents[key] = document
        return document.revision

    async def delete(self, key: str) -> None:
        """See the port."""
        check_key(key)
        await self._connection.call(f"deleting the document {key!r}", lambda: self._documents.pop(key, None))

    async def keys(self, prefix: str = "") -> list[str]:
        """See the port."""
        return await self._connection.call(
            f"listing the keys {prefix!r}", lambda: sorted(key for key in self._documents if key.startswith(prefix))
        )


class MemoryBlobs:
    """`runner.messaging.ports.Blobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blobs = connection.bus.blobs

    async def put(self, data: bytes) -> str:
        """See the port."""
        if len(data) > MAX_BLOB_BYTES:
            raise NeverRetry(f"storing a blob: {len(data)} bytes are more than the {MAX_BLOB_BYTES} allowed")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        body = bytes(memoryview(data))
        await self._connection.call("storing a blob", lambda: self._blobs.setdefault(digest, body))
        return digest

    async def get(self, digest: str) -> bytes:
        """See the port."""
        data = await self._connection.call(f"reading the blob {digest!r}", lambda: self._blobs.get(digest))
        if data is None:
            raise UnknownThing(f"no blob {digest[:80]!r} is stored")
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise UnknownThing(f"the stored blob {digest!r} was altered: its bytes have another digest")
        return data

    async def has(self, digest: str) -> bool:
        """See the port."""
        return await self._connection.call(f"looking for the blob {digest!r}", lambda: digest in self._blobs)

    async def digests(self) -> list[str]:
        """See the port."""
        return await self._connection.call("listing the blobs", lambda: sorted(self._blobs))
