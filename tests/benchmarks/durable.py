"""Figures of the durable engine: each over the yardstick, or over itself, within one run.

The unit of work is a diamond of five activities that do nothing. One engine and two agents are processes of their own
over a nats-server with file storage; a client submits manifests and hears the stored responses.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from figures import Figure, median
from stack import Stack, stack
from workload import WIDTH, Client, client

DIAMOND = 5
IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done.

    Attributes:
        repetitions: Of each measurement.
        diamonds: In one measurement of the rate.
        yardstick_seconds: Of one measurement of the yardstick's rate.
        rounds: Of the latencies.
        finished: Orchestrations that have ended, for the growth.
        active: Orchestrations that run, for the growth and the memory.
    """

    repetitions: int = 5
    diamonds: int = 800
    yardstick_seconds: float = 2.0
    rounds: int = 100
    finished: int = 10_000
    active: int = 10_000


QUICK = Scale()
FULL = Scale(finished=100_000)


class Bench:
    """A stack under load, at one setting of the server's sync.

    Args:
        running: The stack.
        load: Its client.
        scale: How much is done.
        suffix: ``os`` or ``disk``.
    """

    def __init__(self, running: Stack, load: Client, scale: Scale, suffix: str) -> None:
        self._stack = running
        self._load = load
        self._scale = scale
        self._suffix = suffix

    async def warm_up(self) -> None:
        """Make streams, consumers and plans."""
        await self._load.run("diamond", 2 * IN_FLIGHT, IN_FLIGHT)

    async def diamond(self) -> tuple[float, float]:
        """Wall and CPU seconds an activity; CPU is that of engine, agents, server and client together."""
        return await self._cost("diamond", self._scale.diamonds, IN_FLIGHT, DIAMOND)

    async def _cost(self, type_: str, count: int, in_flight: int, size: int) -> tuple[float, float]:
        before = sum(self._stack.cpu().values()) + time.process_time()
        wall = await self._load.run(type_, count, in_flight)
        after = sum(self._stack.cpu().values()) + time.process_time()
        return wall / (count * size), (after - before) / (count * size)

    async def engine_rate_over_yardstick(self) -> list[Figure]:
        """Activities a second with 64 diamonds in flight, over the yardstick's."""
        yards, costs = [], []
        for _ in range(self._scale.repetitions):
            yards.append(self._stack.yardstick_rate(self._scale.yardstick_seconds))
            costs.append(await self.diamond())
        pairs = list(zip(costs, yards, strict=True))
        ratio = median(1 / (wall * rate) for (wall, _), (rate, _) in pairs)
        cpu_ratio = median(cpu / theirs for (_, cpu), (_, theirs) in pairs)
        name = f"engine_rate_over_yardstick_{self._suffix}"
        rate = median(1 / wall for wall, _ in costs)
        return [
            self._judged(name, ratio, "ratio", 0.25, 0.35, higher_is_better=True),
            Figure(f"engine_rate_{self._suffix}", rate, "activities/s"),
            Figure(f"yardstick_rate_{self._suffix}", median(rate for rate, _ in yards), "activities/s"),
            Figure(f"cpu_per_activity_{self._suffix}", median(cpu for _, cpu in costs) * 1e6, "us"),
            Figure(f"cpu_over_yardstick_{self._suffix}", cpu_ratio, "ratio"),
        ]

    async def diamond_latency_over_yardstick(self) -> list[Figure]:
        """One diamond on an idle system, over three times two publishes and two fetches in sequence."""
        ratios, found = [], []
        for _ in range(self._scale.repetitions):
            yard = 3 * median(self._stack.yardstick_latencies(self._scale.rounds))
            found.append(median(await self._load.latencies("diamond", self._scale.rounds)))
            ratios.append(found[-1] / yard)
        name = f"diamond_latency_over_yardstick_{self._suffix}"
        return [
            self._judged(name, median(ratios), "ratio", 4, 2),
            Figure(f"diamond_latency_{self._suffix}", median(found) * 1e3, "ms"),
        ]

    async def wide_tier_cost(self) -> list[Figure]:
        """The cost of an activity in one tier of 1,000, over that in the diamond."""
        walls, cpus = [], []
        for _ in range(self._scale.repetitions):
            wide = await self._cost("wide", 1, 1, WIDTH)
            diamond = await self.diamond()
            walls.append(wide[0] / diamond[0])
            cpus.append(wide[1] / diamond[1])
        return [
            self._judged(f"wide_tier_cost_{self._suffix}", median(walls), "ratio", 1.5, 1.0),
            Figure(f"wide_tier_cpu_{self._suffix}", median(cpus), "ratio"),
        ]

    async def fill(self) -> float:
        """Finish and park as many as the scale says; the engine's memory with the parked ones, in MiB."""
        await self._load.park(self._scale.active, IN_FLIGHT)
        memory = self._stack.engine_mib()
        await self._load.run("single", self._scale.finished, 2 * IN_FLIGHT)
        return memory

    async def cost_growth(self, empty: "Bench", memory: float) -> list[Figure]:
        """The cost of an activity beside many others, over that on an empty system, in turn."""
        walls, cpus = [], []
        for _ in range(self._scale.repetitions + 2):
            mine, theirs = await self.diamond(), await empty.diamond()
            walls.append(mine[0] / theirs[0])
            cpus.append(mine[1] / theirs[1])
        note = f"{self._scale.finished} finished, {self._scale.active} active"
        return [
            self._judged(f"cost_growth_{self._suffix}", median(walls), "ratio", 1.3, 1.05, note=note),
            Figure(f"cost_growth_cpu_{self._suffix}", median(cpus), "ratio", note=note),
            self._judged(
                f"engine_rss_mib_{self._suffix}", memory, "MiB", 300, 150, note=f"{self._scale.active} active"
            ),
        ]

    def _judged(
        self,
        name: str,
        value: float,
        unit: str,
        floor: float,
        aim: float,
        *,
        higher_is_better: bool = False,
        note: str = "",
    ) -> Figure:
        """Floors and aims are for the default sync; with a flush of every write the figure is reported alone."""
        if self._suffix == "disk":
            return Figure(name, value, unit, note=note)
        return Figure(name, value, unit, floor, aim, higher_is_better, note)


@asynccontextmanager
async def bench(suffix: str, scale: Scale) -> AsyncIterator[Bench]:
    """A stack and its client; ``suffix`` is ``os`` or ``disk``."""
    with stack(sync_always=suffix == "disk") as running:
        async with client(running.server.url, running.server.token, running.prefix) as load:
            found = Bench(running, load, scale, suffix)
            await found.warm_up()
            yield found
