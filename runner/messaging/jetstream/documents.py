"""Documents: one message per key, the newest only; laid out so that ``nats kv`` shows the bucket."""

from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.log import purge, subjects
from runner.messaging.jetstream.publishing import EXPECTED, MESSAGE_ID, Conflict, Publisher
from runner.messaging.jetstream.reading import leader_last
from runner.messaging.jetstream.topology import Stream, Topology
from runner.messaging.ports import Document
from runner.messaging.rules import check_key


def encode_key(key: str) -> str:
    """A key as subject tokens: segments become tokens; dots and equals signs inside them are escaped.

    Raises:
        InvalidUsage: Not ``/``-separated segments of letters, digits and ``-_.=``.
    """
    check_key(key)
    return key.replace("=", "=3D").replace(".", "=2E").replace("/", ".")


def decode_key(tokens: str) -> str:
    """The reverse of `encode_key`."""
    return tokens.replace(".", "/").replace("=2E", ".").replace("=3D", "=")


class JetStreamDocuments:
    """`runner.messaging.ports.Documents` over one bucket; its stream is made by the first write that finds none."""

    def __init__(self, link: Link, publisher: Publisher, topology: Topology, stream: Stream) -> None:
        self._link = link
        self._publisher = publisher
        self._topology = topology
        self._stream = stream
        self._root = stream.subjects[0].removesuffix(">")
        self._made = False

    async def get(self, key: str) -> Document | None:
        """See the port."""
        subject = self._root + encode_key(key)
        stored = await leader_last(self._link, self._stream.name, subject, f"reading the document {key!r}")
        return None if stored is None else Document(key, stored.data, stored.sequence)

    async def put(self, key: str, data: bytes, *, expected: int | None = None) -> int:
        """See the port."""
        subject = self._root + encode_key(key)
        headers = {MESSAGE_ID: self._publisher.new_id()} if expected is None else {EXPECTED: str(expected)}
        self._link.check("writing the document", subject, data)
        await self._make()
        try:
            revision, _ = await self._publisher.put("writing the document", subject, data, headers)
        except Conflict as conflict:
            current = await self.get(key) if conflict.repeated else None
            if current is None or current.data != data or current.revision <= (expected or 0):
                raise
            return current.revision  # our own earlier try, whose answer was lost
        return revision

    async def delete(self, key: str) -> None:
        """See the port."""
        await purge(self._link, self._stream.name, self._root + encode_key(key))

    async def keys(self, prefix: str = "") -> list[str]:
        """See the port."""
        folder, slash, _ = prefix.rpartition("/")
        pattern = self._root + (encode_key(folder) + ".>" if slash else ">")
        found = await subjects(self._link, self._stream.name, pattern)
        keys = (decode_key(subject.removeprefix(self._root)) for subject in found)
        return sorted(key for key in keys if key.startswith(prefix))

    async def _make(self) -> None:
        if not self._made:
            await self._topology.ensure(self._stream)
            self._made = True
