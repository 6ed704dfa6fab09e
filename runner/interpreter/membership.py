"""Which engines live, and which of the partitions this one works on.

Engines say that they live on core NATS and share the partitions by rendezvous hashing over the names they hear. Nothing
is agreed and nothing is locked: for a moment two engines may work on one partition, or none. Both are harmless: the
log's compare-and-set tells two writers apart, and events wait in their queue.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress

from runner.errors import TierformError
from runner.messaging.ports import Feed, Subscription
from runner.protocol.messages import VERSION, Beat, decode, encode
from runner.protocol.subjects import Subjects

BEAT_SECONDS = 0.5
SILENT_SECONDS = 3.0


def owner_of(partition: int, engines: Iterable[str]) -> str:
    """The engine with the highest hash for the partition."""
    return max(engines, key=lambda name: hashlib.blake2b(f"{partition}/{name}".encode(), digest_size=8).digest())


class Membership:
    """Hears the other engines and tells them of this one.

    Args:
        feed: Core messages.
        subjects: Names.
        name: This engine's, unique.
        on_change: Called with the partitions that this engine owns from now on, at the start and after each change.
    """

    def __init__(self, feed: Feed, subjects: Subjects, name: str, on_change: Callable[[frozenset[int]], None]) -> None:
        self._feed = feed
        self._subjects = subjects
        self._name = name
        self._on_change = on_change
        self._heard: dict[str, float] = {}
        self._owned: frozenset[int] | None = None

    async def run(self) -> None:
        """Take part until cancelled, then say good-bye."""
        subscription = await self._feed.subscribe(self._subjects.beats("engine"))
        listener = asyncio.create_task(self._listen(subscription))
        try:
            while True:
                await self._beat()
                self._rebalance()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            listener.cancel()
            await subscription.close()
            with suppress(asyncio.CancelledError):
                await listener
            await self._beat(leaving=True)

    async def _listen(self, subscription: Subscription) -> None:
        async for message in subscription:
            with suppress(TierformError):
                await self._hear(decode(Beat, message.data))

    async def _hear(self, beat: Beat) -> None:
        if beat.name == self._name:
            return
        known = beat.name in self._heard
        if beat.leaving:
            self._heard.pop(beat.name, None)
        else:
            self._heard[beat.name] = asyncio.get_running_loop().time()
        if known == beat.leaving:
            if not known:
                await self._beat()  # A newcomer learns of this engine at once.
            self._rebalance()

    async def _beat(self, *, leaving: bool = False) -> None:
        beat = Beat(v=VERSION, name=self._name, leaving=leaving)
        await self._feed.publish(self._subjects.beat("engine", self._name), encode(beat))

    def _rebalance(self) -> None:
        now = asyncio.get_running_loop().time()
        self._heard = {name: at for name, at in self._heard.items() if now - at < SILENT_SECONDS}
        engines = [self._name, *self._heard]
        owned = frozenset(p for p in range(self._subjects.partitions) if owner_of(p, engines) == self._name)
        if owned != self._owned:
            self._owned = owned
            self._on_change(owned)
