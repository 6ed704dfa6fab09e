"""Whether this process stood still a short while ago: stopped by a signal, starved, or its machine paused.

Tasks that came meanwhile lay in the socket's buffer, unread; read at last they look new, though their leases have run
out and others have done them. Nothing in a message says when the server sent it, so after a stand-still every task is
doubtful for a while.
"""

import asyncio


class Pulse:
    """Notices that the event loop did not run for a while.

    Args:
        limit_seconds: A longer gap is a stand-still; tasks are doubtful for twice as long after one.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._last: float | None = None
        self._doubtful_until = 0.0

    async def run(self) -> None:
        """Look regularly, for ever."""
        while True:
            self._look()
            await asyncio.sleep(self._limit / 3)

    def stood_still(self) -> bool:
        """Whether a stand-still has ended just now or a short while ago."""
        return self._look() < self._doubtful_until

    def _look(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._last is not None and now - self._last > self._limit:
            self._doubtful_until = now + 2 * self._limit
        self._last = now
        return now
