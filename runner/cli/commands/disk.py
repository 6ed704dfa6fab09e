"""Looks at the data folder's disk while a command runs: a full one makes everything wait in silence."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_LOOK_SECONDS = 1.0
_FULL_BYTES = 64 * 1024


class Disk:
    """The disk of one folder.

    Args:
        folder: Any on it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_full(self) -> bool:
        """Whether there is as good as no room."""
        with suppress(OSError):
            found = os.statvfs(self._folder)
            return found.f_bavail * found.f_frsize < _FULL_BYTES
        return False

    async def watch(self, say: Callable[[str], None]) -> None:
        """Say so whenever it has become full, for ever."""
        known = False
        while True:
            full = self.is_full()
            if full and not known:
                say(
                    f"no space is left on the disk of the data folder '{self._folder}': make room, else this fails or waits"
                )
            known = full
            await asyncio.sleep(_LOOK_SECONDS)

    async def is_full_for(self, seconds: float) -> None:
        """Return when it has been full for so long without a break."""
        since = 0.0
        while since < seconds:
            await asyncio.sleep(_LOOK_SECONDS)
            since = since + _LOOK_SECONDS if self.is_full() else 0.0
