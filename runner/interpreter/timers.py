"""Deadlines of the orchestrations that this engine owns; armed from state, so they need no store of their own."""

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress


class Timers:
    """Calls ``fire(oid)`` when an orchestration's earliest deadline has come.

    Args:
        now: Milliseconds since 1970.
        fire: Must not block; called once per arming.
    """

    def __init__(self, now: Callable[[], int], fire: Callable[[str], None]) -> None:
        self._now = now
        self._fire = fire
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._changed = asyncio.Event()

    def arm(self, oid: str, due_millis: int | None) -> None:
        """Set, move or (None) clear the orchestration's deadline."""
        if due_millis is None:
            self._due.pop(oid, None)
        elif self._due.get(oid) != due_millis:
            self._due[oid] = due_millis
            heapq.heappush(self._heap, (due_millis, oid))
            self._changed.set()

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            self._changed.clear()
            wait = self._fire_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def _fire_due(self) -> float | None:
        """Fire everything due; seconds until the next, or None without one."""
        while self._heap:
            due, oid = self._heap[0]
            if self._due.get(oid) != due:
                heapq.heappop(self._heap)
                continue
            remaining = due - self._now()
            if remaining > 0:
                return min(remaining / 1000, 3600.0)  # The wall clock may step: look again at least hourly.
            heapq.heappop(self._heap)
            del self._due[oid]
            self._fire(oid)
        return None
