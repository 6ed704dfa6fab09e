"""One worker per orchestration at a time: what comes meanwhile waits in its mailbox and is taken as one batch."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailboxes(Generic[Item]):
    """Serialises items per key and lets keys run side by side.

    Args:
        work: Processes one batch of one key; must not raise.
        on_idle: Called when everything has been worked off.
    """

    def __init__(self, work: Callable[[str, Sequence[Item]], Awaitable[None]]) -> None:
        self._work = work
        self._boxes: dict[str, list[Item]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()

    def put(self, key: str, item: Item) -> None:
        """Add an item; its key's worker starts if it does not run."""
        self._waiting += 1
        box = self._boxes.get(key)
        if box is not None:
            box.append(item)
            return
        self._boxes[key] = [item]
        task = asyncio.get_running_loop().create_task(self._drain(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, key: str) -> None:
        while batch := self._boxes[key]:
            self._boxes[key] = []
            try:
                await self._work(key, batch)
            finally:
                self._waiting -= len(batch)
                self._room.set()
        del self._boxes[key]

    @property
    def waiting(self) -> int:
        """Items not yet processed."""
        return self._waiting

    async def below(self, limit: int) -> None:
        """Return when fewer than ``limit`` items wait: the brake on fetching."""
        while self._waiting >= limit:
            self._room.clear()
            await self._room.wait()

    async def cancel(self) -> None:
        """Abandon all work; what was not acknowledged is delivered again elsewhere."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
