"""What the suite needs of a backend, and how it waits."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeVar

from runner.messaging.ports import Consumer, Delivery, Messaging

T = TypeVar("T")

ACK_WAIT = timedelta(seconds=0.4)
LONG_WAIT = timedelta(seconds=30)
PATIENCE = timedelta(seconds=10)
MOMENT = timedelta(seconds=0.1)


class Backend(Protocol):
    """A bus for one test, empty below ``prefix``; closes the connections it gave when the test ends."""

    @property
    def prefix(self) -> str:
        """First token(s) of every subject."""
        ...

    async def connect(self) -> Messaging:
        """A new connection, as another process would have."""
        ...


class RestartableBackend(Backend, Protocol):
    """One whose server can die."""

    async def kill(self) -> None:
        """Kill the server as kill -9 does."""
        ...

    async def start(self) -> None:
        """Start it again, on the same address with the same storage."""
        ...


async def until(probe: Callable[[], Awaitable[T]], *, within: timedelta = PATIENCE) -> T:
    """The first true value that ``probe`` gives; TimeoutError after ``within``."""
    async with asyncio.timeout(within.total_seconds()):
        while not (value := await probe()):  # noqa: ASYNC110 - any backend, so polling
            await asyncio.sleep(0.01)
        return value


async def fetch_all(consumer: Consumer, count: int, *, batch: int = 64) -> list[Delivery]:
    """So many deliveries, however many fetches it takes."""
    found: list[Delivery] = []
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while len(found) < count:
            found += await consumer.fetch(min(batch, count - len(found)), PATIENCE)
    return found
