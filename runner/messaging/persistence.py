"""Repeats what is safe to repeat until the bus takes it."""

import asyncio
from collections.abc import Awaitable, Callable

from runner.errors import NeverRetry, Retry

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


async def until_taken(action: Callable[[], Awaitable[None]]) -> None:
    """Run an idempotent action until it does not raise a passing error; raises what never passes."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            await action()
        except NeverRetry:
            raise
        except Retry:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        else:
            return
