"""Worker processes, reused."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from processors.terraform.supervision.process import WorkerProcess

Spawn = Callable[[Mapping[str, str]], Awaitable[WorkerProcess]]
_Key = tuple[tuple[str, str], ...]

_COMMANDS_PER_WORKER = 500
_RESIDENT_BYTES = 700 << 20
# A short queue is cheaper than another process of 0.15 s and 115 MB; a long apply must not hold others up.
_PATIENCE_SECONDS = 0.25


class WorkerPool:
    """Workers by environment: a loaded library does not see later changes of its own.

    Args:
        spawn: Starts a worker with an environment.
        usual: So many are started without hesitation.
        most: So many at the most; the default is four per core, as most of an apply is waiting for somebody else.
        idle_seconds: How long an idle worker is kept.
    """

    def __init__(self, spawn: Spawn, *, usual: int = 0, most: int = 0, idle_seconds: float = 120.0) -> None:
        cores = os.cpu_count() or 1
        self._spawn = spawn
        self._usual = usual or cores
        self._most = max(most or 4 * cores, self._usual)
        self._idle_seconds = idle_seconds
        self._idle: list[tuple[_Key, WorkerProcess]] = []
        self._count = 0
        self._change = asyncio.Condition()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @asynccontextmanager
    async def worker(self, environment: Mapping[str, str]) -> AsyncIterator[WorkerProcess]:
        """One worker for a command; it goes back to the pool afterwards unless it is worn out."""
        key = tuple(sorted(environment.items()))
        worker = await self._take(key, environment)
        try:
            yield worker
        finally:
            await self._give_back(key, worker)

    async def warm(self, environment: Mapping[str, str], count: int = 1) -> None:
        """Have ``count`` idle workers ready."""
        for _ in range(min(count, self._most) - self._count):
            self._count += 1
            await self._give_back(tuple(sorted(environment.items())), await self._started(environment))

    async def close(self) -> None:
        """End the idle workers and wait for them; those at work end by themselves when they are given back."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.close() for _, worker in idle), *self._ending)

    async def _take(self, key: _Key, environment: Mapping[str, str]) -> WorkerProcess:
        async with self._change:
            while True:
                if (worker := self._pick(key)) is not None:
                    return worker
                if self._count < self._usual or (not await self._waited() and self._has_room()):
                    self._count += 1
                    break
        return await self._started(environment)

    def _pick(self, key: _Key) -> WorkerProcess | None:
        # The last one used first: its memory is warm, and the others may age.
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][0] == key:
                _, worker = self._idle.pop(index)
                self._timers.pop(worker.pid).cancel()
                if worker.is_alive:
                    return worker
                self._end(worker)
        return None

    async def _waited(self) -> bool:
        """Wait until something changes; False when patience ended first and another may be started."""
        limit = _PATIENCE_SECONDS if self._has_room() else None
        try:
            async with asyncio.timeout(limit):
                await self._change.wait()
        except TimeoutError:
            return False
        return True

    def _has_room(self) -> bool:
        if self._count >= self._most and self._idle:
            _, worker = self._idle.pop(0)
            self._timers.pop(worker.pid).cancel()
            self._end(worker)
        return self._count < self._most

    async def _started(self, environment: Mapping[str, str]) -> WorkerProcess:
        try:
            return await self._spawn(environment)
        except BaseException:
            self._count -= 1
            raise

    async def _give_back(self, key: _Key, worker: WorkerProcess) -> None:
        worn = worker.commands >= _COMMANDS_PER_WORKER or worker.resident_bytes() > _RESIDENT_BYTES
        if self._closed or worn or not worker.is_alive:
            self._end(worker)
        else:
            self._idle.append((key, worker))
            loop = asyncio.get_running_loop()
            self._timers[worker.pid] = loop.call_later(self._idle_seconds, self._expire, worker)
        async with self._change:
            self._change.notify_all()

    def _expire(self, worker: WorkerProcess) -> None:
        if len(self._idle) <= 1:
            # The last one stays: the next activity starts at once.
            loop = asyncio.get_running_loop()
            self._timers[worker.pid] = loop.call_later(self._idle_seconds, self._expire, worker)
            return
        self._timers.pop(worker.pid, None)
        self._idle = [entry for entry in self._idle if entry[1] is not worker]
        self._end(worker)

    def _end(self, worker: WorkerProcess) -> None:
        self._count -= 1
        task = asyncio.get_running_loop().create_task(worker.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
