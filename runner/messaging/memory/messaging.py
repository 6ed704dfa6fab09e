"""One connection to a bus in memory."""

from runner.messaging.memory.bus import MemoryBus
from runner.messaging.memory.connection import Connection
from runner.messaging.memory.feed import MemoryFeed
from runner.messaging.memory.queue import MemoryQueue
from runner.messaging.memory.storing import MemoryBlobs, MemoryDocuments, MemoryLog
from runner.messaging.ports import Capabilities


class MemoryMessaging:
    """`runner.messaging.ports.Messaging`; made by `MemoryBus.connect`."""

    def __init__(self, bus: MemoryBus) -> None:
        self._connection = Connection(bus)
        self.log = MemoryLog(self._connection)
        self.queue = MemoryQueue(self._connection)
        self.blobs = MemoryBlobs(self._connection)
        self.feed = MemoryFeed(self._connection)

    @property
    def capabilities(self) -> Capabilities:
        """See the port."""
        return self._connection.bus.capabilities

    def documents(self, bucket: str) -> MemoryDocuments:
        """See the port."""
        return MemoryDocuments(self._connection, bucket)

    def kill(self) -> None:
        """Die as a process does under kill -9: nothing is handed back, what was stored stays."""
        self._connection.end()

    async def close(self) -> None:
        """See the port."""
        self._connection.end()
