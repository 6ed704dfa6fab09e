"""An engine and an agent in this process."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from runner.assembly.installation import Installation
from runner.cli.commands.sending import send_command
from runner.engine.plan import Plan, PlannedActivity
from runner.errors import TierformError

_LOOK_SECONDS = 0.5


def _activities(plan: Plan) -> list[PlannedActivity]:
    """The activities of a definition and of what undoes it."""
    undoing = plan.compensation.activities.values() if plan.compensation else ()
    return [*plan.activities.values(), *undoing]


def types_of(plan: Plan) -> frozenset[str]:
    """The activity types of a definition and of what undoes it."""
    return frozenset(activity.type for activity in _activities(plan))


class Crew:
    """Works while its block runs; hears Ctrl-C and SIGTERM.

    Args:
        installation: The bus, the processors.
        plans: Definitions whose activity types the agent takes, and whose processors are started at once.
        wanted: The orchestrations whose activities it takes; None takes all.
    """

    def __init__(self, installation: Installation, plans: Sequence[Plan], wanted: frozenset[str] | None) -> None:
        self._installation = installation
        wants: Callable[[str], bool] | None = wanted.__contains__ if wanted is not None else None
        self._agent, self._providers = installation.agent(wants=wants)
        self._engine = installation.engine()
        self._types = frozenset().union(*map(types_of, plans))
        activities = [activity for plan in plans for activity in _activities(plan)]
        self._needed = sorted({activity.provider for activity in activities if activity.provider})
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the engine and the agent; at the end hand back what still runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        self._tasks = [asyncio.create_task(self._engine.run()), asyncio.create_task(self._agent.run(self._types))]
        warm = [asyncio.create_task(self._warm(provider)) for provider in self._needed]
        try:
            yield
        finally:
            await self._agent.abandon()
            for task in [*self._tasks, *warm]:
                task.cancel()
            await asyncio.gather(*self._tasks, *warm, return_exceptions=True)
            await self._providers.close()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _warm(self, provider: str) -> None:
        """Start a provider's processor before its first activity; a missing one is that activity's error, not ours."""
        await asyncio.gather(self._providers.processor(provider), return_exceptions=True)

    async def interrupted(self) -> int:
        """The next SIGINT or SIGTERM."""
        return await self._signals.get()

    async def until_broken(self) -> None:
        """Raise what ended the engine or the agent before its time."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def take_all_types(self) -> None:
        """Take every activity type that is registered, now and later, until cancelled."""
        while True:
            with suppress(TierformError):
                for plan in await self._installation.plans.all_registered():
                    self._agent.add(types_of(plan))
            await asyncio.sleep(_LOOK_SECONDS)

    async def drain(self) -> None:
        """Ask running processors to stop and hand their tasks back, and work off what came of it.

        Without the second part a task that is to go on may be recorded and not yet in its queue: the next engine would
        take it for lost after a while.
        """
        await self._agent.drain()
        agent = self._tasks[1]
        agent.cancel()  # It would be handed the very tasks that it hands back.
        await asyncio.gather(agent, return_exceptions=True)
        await self._engine.drain()

    async def cancel(self, ids: Iterable[str], reason: str) -> None:
        """Ask the engine to cancel orchestrations."""
        for oid in ids:
            await send_command(self._installation, oid, "cancel", reason=reason)
