"""The state that all connections to one bus in memory share."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.messaging.memory.faults import Faults
from runner.messaging.memory.queues import QueueStore
from runner.messaging.ports import Capabilities, Document, Entry, Message

if TYPE_CHECKING:
    from runner.messaging.memory.feed import Inbox
    from runner.messaging.memory.messaging import MemoryMessaging

MAX_MESSAGE_BYTES = 1024 * 1024 - 4096
_JOURNAL_MESSAGES = 100_000


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryBus:
    """Holds everything that was stored; outlives its connections.

    Args:
        faults: What goes wrong; nothing by default.
        prefix: First token of every subject.
        clock: Gives the time stamp of log entries; pass the simulation's.
        max_message_bytes: The largest body.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        prefix: str = "tierform",
        clock: Callable[[], datetime] = _now,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self.faults = faults or Faults()
        self.prefix = prefix
        self.clock = clock
        self.capabilities = Capabilities(durable=False, max_message_bytes=max_message_bytes)
        self.logs: dict[str, list[Entry]] = {}
        self.queues = {kind: QueueStore(self.faults) for kind in ("event", "task")}
        self.documents: dict[str, dict[str, Document]] = {}
        self.blobs: dict[str, bytes] = {}
        self.journal: deque[Message] = deque(maxlen=_JOURNAL_MESSAGES)
        self.inboxes: list[Inbox[Any]] = []
        self._sequence = 0

    def next_sequence(self) -> int:
        """Grows over the whole bus, as a stream's does."""
        self._sequence += 1
        return self._sequence

    def crash(self, now: float) -> None:
        """Have the server die and come back, at this time of the event loop.

        Everything stored stays. Acknowledgements of the last 100 ms are forgotten, so those messages are delivered
        again; so are the message ids of what is not stored any more, so a late copy of it is a new message.
        """
        for queue in self.queues.values():
            queue.crash(now)

    def connect(self) -> "MemoryMessaging":
        """A new connection, as another process would have."""
        from runner.messaging.memory.messaging import MemoryMessaging  # noqa: PLC0415 - the two know each other

        return MemoryMessaging(self)
