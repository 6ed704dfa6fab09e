"""Follows orchestrations to their end: by their live events, and by their logs in case some were lost."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from runner.assembly.installation import Installation
from runner.cli.views.progress import ProgressView
from runner.engine.state import Orchestration
from runner.errors import Retry, TierformError
from runner.messaging.ports import Subscription
from runner.protocol.messages import Live, decode

_LOOK_SECONDS = 2.0


class Follower:
    """Tells a view what happens and knows what has ended.

    Args:
        installation: The bus.
        ids: What is followed.
        view: Told of every live event of those.
        after_generation: An end of this generation or of an earlier one does not count.

    Attributes:
        ended: The last states, by id.
        timed_out: Set by whoever gave up waiting.
    """

    def __init__(
        self, installation: Installation, ids: Iterable[str], view: ProgressView, *, after_generation: int = 0
    ) -> None:
        self._after = after_generation
        self._installation = installation
        self._ids = frozenset(ids)
        self._view = view
        self._hint = asyncio.Event()
        self._hinted: set[str] = set()
        self.ended: dict[str, Orchestration] = {}
        self.timed_out = False

    @property
    def open(self) -> frozenset[str]:
        """What has not ended yet."""
        return self._ids - self.ended.keys()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        only = next(iter(self._ids)) if len(self._ids) == 1 else None
        subjects = self._installation.subjects
        subject = subjects.live(only) if only is not None else f"{subjects.prefix}.live.*"
        subscription = await self._installation.messaging.feed.subscribe(subject)
        listener = asyncio.create_task(self._listen(subscription))
        try:
            yield
        finally:
            listener.cancel()
            await subscription.close()
            with suppress(asyncio.CancelledError):
                await listener

    async def _listen(self, subscription: Subscription) -> None:
        async for message in subscription:
            with suppress(TierformError):
                live = decode(Live, message.data)
                if live.oid not in self._ids:
                    continue
                self._view.take(live)
                if any(fact.get("fact") == "ended" for fact in live.facts):
                    self._hinted.add(live.oid)
                    self._hint.set()

    async def until_all_ended(self) -> None:
        """Return when everything followed has ended; `ended` has the states."""
        await self._look(self.open)
        while self.open:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._hint.wait()
            self._hint.clear()
            hinted, self._hinted = self._hinted, set()
            await self._look(hinted or self.open)

    async def _look(self, ids: Iterable[str]) -> None:
        for oid in ids:
            with suppress(Retry):
                state = (await self._installation.orchestrations.load(oid)).orchestration
                if state is not None and state.is_terminal and state.generation > self._after:
                    self.ended[oid] = state
