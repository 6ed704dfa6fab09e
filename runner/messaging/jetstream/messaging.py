"""The connection that gives all five ports."""

from runner.errors import Refused
from runner.messaging.jetstream.blobs import JetStreamBlobs
from runner.messaging.jetstream.documents import JetStreamDocuments
from runner.messaging.jetstream.feed import JetStreamFeed
from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.log import JetStreamLog
from runner.messaging.jetstream.publishing import Publisher
from runner.messaging.jetstream.queue import JetStreamQueue
from runner.messaging.jetstream.settings import JetStreamSettings
from runner.messaging.jetstream.topology import Topology
from runner.messaging.ports import Capabilities

OLDEST_SERVER = (2, 10, 23)
"""Older ones lose whole streams when their process is killed."""


class JetStreamMessaging:
    """`runner.messaging.ports.Messaging` over one connection to NATS JetStream."""

    def __init__(self, link: Link) -> None:
        self._link = link
        publisher = Publisher(link)
        self._publisher = publisher
        self._topology = Topology(link)
        names = self._topology.names
        self._documents: dict[str, JetStreamDocuments] = {}
        self.log = JetStreamLog(link, publisher, self._topology)
        self.queue = JetStreamQueue(link, publisher, names)
        self.blobs = JetStreamBlobs(link, publisher, self._topology, names.blob)
        self.feed = JetStreamFeed(link, names)

    @property
    def capabilities(self) -> Capabilities:
        """See the port."""
        return Capabilities(durable=True, max_message_bytes=self._link.max_message_bytes)

    @property
    def is_connected(self) -> bool:
        """Whether the server can be reached right now; calls wait for it by themselves."""
        return self._link.is_up

    def documents(self, bucket: str) -> JetStreamDocuments:
        """See the port."""
        if bucket not in self._documents:
            stream = self._topology.names.bucket(bucket)
            self._documents[bucket] = JetStreamDocuments(self._link, self._publisher, self._topology, stream)
        return self._documents[bucket]

    async def prepare(self) -> None:
        """Check the server and make the streams.

        Raises:
            Refused: The server is too old, has no JetStream, or its streams belong to somebody else.
        """
        version = self._link.client.connected_server_version
        if (version.major, version.minor, version.patch) < OLDEST_SERVER:
            wanted = ".".join(map(str, OLDEST_SERVER))
            found = f"{version.major}.{version.minor}.{version.patch}"
            raise Refused(f"the NATS server has version {found}, at least {wanted} is needed", remedy="upgrade it")
        await self._topology.ensure_main()

    async def close(self) -> None:
        """See the port."""
        await self._link.close()


async def connect(settings: JetStreamSettings) -> JetStreamMessaging:
    """Connect and make what is missing on the server; safe for any number of processes at the same time.

    Raises:
        runner.errors.Unreachable: No server within ``settings.connect_timeout``.
        runner.errors.Refused: The login is not taken, or the server can't be used; the detail says why.
    """
    link = Link(settings)
    await link.open()
    messaging = JetStreamMessaging(link)
    try:
        await messaging.prepare()
    except BaseException:
        await messaging.close()
        raise
    return messaging
