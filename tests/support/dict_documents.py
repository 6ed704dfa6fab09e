"""A document store and a blob store in dictionaries; every call lets other tasks run first."""

import asyncio
import hashlib

from runner.errors import UnknownThing
from runner.messaging.ports import Document, SequenceConflict


class DictDocuments:
    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self._revision = 0

    async def get(self, key: str) -> Document | None:
        await asyncio.sleep(0)
        return self.documents.get(key)

    async def put(self, key: str, data: bytes, *, expected: int | None = None) -> int:
        await asyncio.sleep(0)
        current = self.documents.get(key)
        if expected is not None and expected != (current.revision if current else 0):
            raise SequenceConflict(f"writing '{key}'")
        self._revision += 1
        self.documents[key] = Document(key, data, self._revision)
        return self._revision

    async def delete(self, key: str) -> None:
        self.documents.pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.documents if key.startswith(prefix))


class DictBlobs:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.gets = 0

    async def put(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    async def get(self, digest: str) -> bytes:
        self.gets += 1
        if digest not in self.blobs:
            raise UnknownThing(f"no blob '{digest}'")
        return self.blobs[digest]

    async def has(self, digest: str) -> bool:
        return digest in self.blobs
