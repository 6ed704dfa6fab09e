"""An event loop whose clock jumps, whose order is a seed's, and whose processes can be frozen and killed.

Every callback belongs to the simulated process in whose context it was scheduled. The loop sorts the callbacks that
are ready before it runs any of them: those of a frozen process are put aside, those of a dead one never run again, the
others are shuffled. A process dies between any two of its own steps, without a `finally` block being run, as under
kill -9.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)


class Stalled(Exception):
    """Nothing is ready and no timer is armed: the simulated world has come to a stop for good."""


class Process:
    """One simulated process: a name, its steps so far, and whether it runs.

    Attributes:
        dies_at: Number of the step before which it is killed; None for never.
        skew_millis: What its wall clock is ahead of the world's.
        thawed_at: When it was woken last, in the loop's time.
        works_on: What its processors have begun and not ended.
    """

    def __init__(self, name: str, on_death: Callable[[], None]) -> None:
        self.name = name
        self.steps = 0
        self.dies_at: int | None = None
        self.alive = True
        self.skew_millis = 0
        self.thawed_at = -1e9
        self.works_on: list[Any] = []
        self._on_death = on_death
        self._aside: list[asyncio.Handle] | None = None

    def die(self) -> None:
        """Nothing of it runs any more."""
        if self.alive:
            self.alive = False
            self._aside = self._aside or []
            self._on_death()

    def freeze(self) -> None:
        """As SIGSTOP: it keeps its connection and all that it knows, and does nothing."""
        if self._aside is None:
            self._aside = []

    def thaw(self, loop: asyncio.AbstractEventLoop) -> None:
        """As SIGCONT: everything that became ready meanwhile happens now."""
        if self.alive and self._aside is not None:
            aside, self._aside = self._aside, None
            self.thawed_at = loop.time()
            for handle in aside:
                loop._ready.append(handle)  # type: ignore[attr-defined]

    def bury(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a dead process's callbacks go, so that its tasks can be cancelled when the simulation ends."""
        aside, self._aside = self._aside or [], None
        self.dies_at = None
        loop._ready.extend(aside)  # type: ignore[attr-defined]

    def takes(self, handle: asyncio.Handle) -> bool:
        """Whether the callback runs now; the one that is not is kept."""
        if self._aside is None:
            self.steps += 1
            if self.steps != self.dies_at:
                return True
            self.die()
        assert self._aside is not None
        self._aside.append(handle)
        return False


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """A task whose hash is its number: sets of tasks have the same order in every run."""

    def __hash__(self) -> int:
        return self.serial  # type: ignore[attr-defined,no-any-return]


class _Future(asyncio.Future):  # type: ignore[type-arg]
    """A future with a reproducible hash, likewise."""

    serial = 0

    def __hash__(self) -> int:
        return self.serial


class _Clock:
    """In place of a selector: waiting is moving the clock."""

    def __init__(self, loop: "SimulatedLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.move_on(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs everything in virtual time.

    Args:
        seed: Of the order of callbacks.
        shuffles: Whether callbacks that are ready together run in any order, or in the order they became ready.
    """

    def __init__(self, seed: int, *, shuffles: bool = True) -> None:
        super().__init__()
        self._selector = _Clock(self)
        self._clock_resolution = 1e-9
        self._at = 0.0
        self._random = random.Random(seed)  # noqa: S311 - an order, no secret
        self._shuffles = shuffles
        self._serial = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._at

    def create_future(self) -> "asyncio.Future[Any]":
        future = _Future(loop=self)
        future.serial = self._next_serial()
        return future

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any) -> Any:
        task = _Task.__new__(_Task)
        task.serial = self._next_serial()  # type: ignore[attr-defined] # Before __init__, which puts it into a set.
        task.__init__(coroutine, loop=loop, **options)  # type: ignore[misc]
        return task

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of a process; whatever it starts belongs to that process, too."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(coroutine, context=context)

    def move_on(self, timeout: float | None) -> None:
        """Go on to the next timer if nothing is ready; choose what runs, and in which order."""
        if timeout is None:
            raise Stalled
        scheduled = self._scheduled  # type: ignore[attr-defined]
        ready = self._ready  # type: ignore[attr-defined]
        if timeout > 0 and scheduled:
            self._at = max(self._at, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._at:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        waiting = list(ready)
        ready.clear()
        chosen = [handle for handle in waiting if _runs(handle)]  # One that dies here makes more of them ready.
        if self._shuffles and len(chosen) > 1:
            self._random.shuffle(chosen)
        ready.extend(chosen)

    def _process_events(self, event_list: list[Any]) -> None:
        del event_list

    def _write_to_self(self) -> None:
        return


def _runs(handle: asyncio.Handle) -> bool:
    if handle._cancelled:  # type: ignore[attr-defined]
        return False
    process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
    return process is None or process.takes(handle)
