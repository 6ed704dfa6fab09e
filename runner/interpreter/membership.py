"""Which engines live, and which of the partitions this one works on.

Engines say that they live on core NATS and share the partitions evenly, by a function of the names they hear. Nothing
is agreed and nothing is locked: for a moment two engines may work on one partition, or none. Both are harmless: the
log's compare-and-set tells two writers apart, and events wait in their queue. But timers are in the memory of the engine
that handled an event last: so every engine says which partitions it works on, and when it stops saying so, or falls
silent, the owner looks through that partition again.
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


def shares(partitions: int, engines: Iterable[str]) -> dict[int, str]:
    """Which engine works on each partition: the one with the highest hash of those that have no full share yet.

    Shares differ by one at the most; hashing keeps most partitions where they are when an engine comes or goes.
    """
    names = set(engines)
    least, larger = divmod(partitions, len(names))
    counts = dict.fromkeys(names, 0)
    owners = {}
    for partition in range(partitions):
        free = [name for name in names if counts[name] < least or (counts[name] == least and larger > 0)]
        owner = max(free, key=lambda name: _weight(partition, name))
        larger -= counts[owner] == least
        counts[owner] += 1
        owners[partition] = owner
    return owners


def _weight(partition: int, engine: str) -> bytes:
    return hashlib.blake2b(f"{partition}/{engine}".encode(), digest_size=8).digest()


class Membership:
    """Hears the other engines and tells them of this one.

    Args:
        feed: Core messages.
        subjects: Names.
        name: This engine's, unique.
        on_change: Called with the partitions that this engine owns from now on, at the start and after each change.
        on_release: Called with partitions that it owned already and that another engine worked on until now.
    """

    def __init__(
        self,
        feed: Feed,
        subjects: Subjects,
        name: str,
        on_change: Callable[[frozenset[int]], None],
        on_release: Callable[[frozenset[int]], None],
    ) -> None:
        self._feed = feed
        self._subjects = subjects
        self._name = name
        self._on_change = on_change
        self._on_release = on_release
        self._claims: dict[str, frozenset[int]] = {}
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
        claims = frozenset(beat.partitions)
        released = self._claims.get(beat.name, frozenset()) - claims
        if beat.leaving:
            self._heard.pop(beat.name, None)
            self._claims.pop(beat.name, None)
        else:
            self._heard[beat.name] = asyncio.get_running_loop().time()
            self._claims[beat.name] = claims
        if known == beat.leaving or released:
            self._rebalance(released)
            if not known and not beat.leaving:
                await self._beat()  # A newcomer learns of this engine at once.

    async def _beat(self, *, leaving: bool = False) -> None:
        partitions = [] if leaving else sorted(self._owned or ())
        beat = Beat(v=VERSION, name=self._name, leaving=leaving, partitions=partitions)
        await self._feed.publish(self._subjects.beat("engine", self._name), encode(beat))

    def _rebalance(self, released: frozenset[int] = frozenset()) -> None:
        now = asyncio.get_running_loop().time()
        before = self._owned or frozenset()
        for name in [name for name, at in self._heard.items() if now - at >= SILENT_SECONDS]:
            del self._heard[name]
            released |= self._claims.pop(name, frozenset())
        engines = [self._name, *self._heard]
        owners = shares(self._subjects.partitions, engines)
        owned = frozenset(partition for partition, owner in owners.items() if owner == self._name)
        if owned != self._owned:
            self._owned = owned
            self._on_change(owned)
        if released & before & owned:
            self._on_release(released & before & owned)
