"""A real bus in memory: at least once, with ack waits, revisions and, on request, every fault a bus may have."""

from runner.messaging.memory.bus import MemoryBus
from runner.messaging.memory.faults import Faults
from runner.messaging.memory.messaging import MemoryMessaging

__all__ = ["Faults", "MemoryBus", "MemoryMessaging"]
