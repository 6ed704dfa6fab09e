"""Kills, freezes and starts processes at random, and once fills the server's disk."""

import asyncio
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fleet import Fleet, Member, ServerMember

_MEAN_PAUSE_SECONDS = 0.9
_BALLAST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process stood still from one time to another."""

    pid: int
    began: float
    ended: float


@dataclass(slots=True)
class Faults:
    """Does harm to a fleet until told otherwise.

    Attributes:
        done: How often what was done.
        freezes: Which processes stood still, and when.
    """

    fleet: Fleet
    random: Random
    disk: Path | None = None
    done: Counter[str] = field(default_factory=Counter)
    freezes: list[Freeze] = field(default_factory=list)
    _busy: set[str] = field(default_factory=set)

    async def run(self, seconds: float) -> None:
        """Harm until the time is over and the last victim runs again."""
        ends = time.monotonic() + seconds
        fills = ends - seconds / 2 if self.disk is not None else None
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < ends:
                pause = min(self.random.expovariate(1 / _MEAN_PAUSE_SECONDS), 5.0)
                await asyncio.sleep(min(pause, max(0.0, ends - time.monotonic())))
                if fills is not None and time.monotonic() > fills and "server" not in self._busy:
                    fills = None
                    group.create_task(self._alone(self.fleet.server, self._fill()))
                    continue
                victim = self._victim()
                if victim is not None:
                    group.create_task(self._alone(victim, self._harm(victim, ends)))

    def _victim(self) -> Member | ServerMember | None:
        everything = [*self.fleet.engines * 2, *self.fleet.agents * 2, self.fleet.server]
        free = [one for one in everything if one.name not in self._busy]
        return self.random.choice(free) if free else None

    async def _alone(self, victim: Member | ServerMember, action: "asyncio.Future[None] | object") -> None:
        self._busy.add(victim.name)
        try:
            await action  # type: ignore[misc]
        finally:
            self._busy.discard(victim.name)

    async def _harm(self, victim: Member | ServerMember, ends: float) -> None:
        what = victim.name.partition("-")[0]
        draw = self.random.random()
        if draw < 0.45:
            await self._freeze(victim, self.random.uniform(1, 10), ends)
            self.done[f"freezes of {what}s"] += 1
        elif draw < 0.9 or isinstance(victim, ServerMember):
            self.done[f"kills of {what}s"] += 1
            await asyncio.to_thread(victim.kill)
            await self._start_again(victim)
        else:
            self.done[f"drains of {what}s"] += 1
            victim.send(signal.SIGTERM)
            code = await asyncio.to_thread(victim.wait)
            if code != 0:
                self.done[f"drains of {what}s that ended with {code}"] += 1
            victim.kill()
            await self._start_again(victim)

    async def _start_again(self, victim: Member | ServerMember) -> None:
        await asyncio.sleep(self.random.uniform(0, 1.5))
        await asyncio.to_thread(victim.start)

    async def _freeze(self, victim: Member | ServerMember, seconds: float, ends: float) -> None:
        if not victim.is_running():
            return
        pid = victim.pid
        victim.send(signal.SIGSTOP)
        began = time.time()
        await asyncio.sleep(max(0.5, min(seconds, ends - time.monotonic())))
        self.freezes.append(Freeze(pid, began, time.time()))
        victim.send(signal.SIGCONT)

    async def _fill(self) -> None:
        """Fill the disk for three seconds; then, as an operator would, make room and start the server again."""
        assert self.disk is not None
        ballast = self.disk / "ballast"
        self.done["full disks"] += 1
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * _BALLAST_BYTES)
        await asyncio.sleep(3)
        ballast.unlink()
        await asyncio.to_thread(self.fleet.server.kill)
        await asyncio.to_thread(self.fleet.server.start)

    async def watch(self) -> None:
        """Start again what ended by itself, as a service manager does; for ever."""
        while True:
            await asyncio.sleep(0.3)
            for member in [self.fleet.server, *self.fleet.workers]:
                if member.name not in self._busy and not member.is_running():
                    self.done[f"{member.name.partition('-')[0]}s that ended by themselves"] += 1
                    await asyncio.to_thread(member.start)
