"""Which other agents live, and whether one of them is on another host."""

import asyncio
from contextlib import suppress

from runner.errors import TierformError
from runner.messaging.ports import Feed, Subscription
from runner.protocol.messages import VERSION, Beat, decode, encode
from runner.protocol.subjects import Subjects

BEAT_SECONDS = 2.0
SILENT_SECONDS = 10.0


class Neighbours:
    """Says that this agent lives, on core messages, and hears the others.

    Args:
        feed: Core messages.
        subjects: Names.
        name: This agent's, unique.
        host: Where it runs.
    """

    def __init__(self, feed: Feed, subjects: Subjects, name: str, host: str) -> None:
        self._feed = feed
        self._subjects = subjects
        self._name = name
        self._host = host
        self._heard: dict[str, tuple[str, float]] = {}

    def are_elsewhere(self) -> bool:
        """Whether an agent on another host was heard lately."""
        now = asyncio.get_running_loop().time()
        return any(host != self._host and now - at < SILENT_SECONDS for host, at in self._heard.values())

    async def run(self) -> None:
        """Take part until cancelled, then say good-bye."""
        subscription = await self._feed.subscribe(self._subjects.beats("agent"))
        listener = asyncio.create_task(self._listen(subscription))
        try:
            while True:
                await self._beat()
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
        if beat.leaving:
            self._heard.pop(beat.name, None)
            return
        newcomer = beat.name not in self._heard
        self._heard[beat.name] = (beat.host, asyncio.get_running_loop().time())
        if newcomer:
            await self._beat()  # It learns of this one at once.

    async def _beat(self, *, leaving: bool = False) -> None:
        beat = Beat(v=VERSION, name=self._name, host=self._host, leaving=leaving)
        await self._feed.publish(self._subjects.beat("agent", self._name), encode(beat))
