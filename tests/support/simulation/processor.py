"""The processor of the simulation: it does what the script says, and enters that in the ledger first."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from simulation.evidence import Effect
from simulation.loop import Process
from simulation.scenario import Step, step_of

from runner.activity import ActivityContext, ActivityResult

if TYPE_CHECKING:
    from simulation.world import World


class ProcessorError(Exception):
    """What a scripted processor raises."""


class Scripted:
    """Does what the script says, and enters it in the ledger first."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self._process = process

    async def process(self, context: ActivityContext) -> ActivityResult:
        details, world = context.details, self._world
        effect = Effect(
            mark=world.bus._sequence,
            at=world.loop.time(),
            until=float("inf"),
            thawed_at=self._process.thawed_at,
            agent=self._process.name,
            oid=details.oid,
            activity=details.id,
            attempt=details.attempt,
            polls=details.polls,
            delivery=details.delivery,
            inputs=dict(context.inputs),
            values=context.values(),
        )
        world.evidence.ledger.append(effect)
        self._process.works_on.append(effect)
        try:
            return await self._follow(context)
        finally:
            effect.until = min(effect.until, world.loop.time())
            self._process.works_on.remove(effect)

    async def _follow(self, context: ActivityContext) -> ActivityResult:
        details, world = context.details, self._world
        step = step_of(world.scenario.scripts[details.oid, details.id], details.attempt, details.polls)
        if await _is_stopped(context, step):
            return ActivityResult.retry("interrupted")
        for key, value in step.set.items():
            context.set_value(key, value)
        for key in step.deleted:
            context.delete(key)
        for key, value in step.outputs.items():
            context.set_output_value(key, value)
        return _result(step)


async def _is_stopped(context: ActivityContext, step: Step) -> bool:
    """Work for as long as the step takes; whether it was told to stop and heeded that."""
    if not step.seconds:
        return False
    if not step.heeds:
        await asyncio.sleep(step.seconds)
        return False
    try:
        await asyncio.wait_for(context.stopping.wait(), step.seconds)
    except TimeoutError:
        return False
    return True


def _result(step: Step) -> ActivityResult:
    match step.kind:
        case "complete":
            return ActivityResult.complete()
        case "wait":
            return ActivityResult.wait()
        case "schedule":
            return ActivityResult.schedule(timedelta(milliseconds=step.delay_millis))
        case "retry":
            return ActivityResult.retry("busy")
        case "fatal":
            return ActivityResult.fatal("impossible")
        case "raise":
            raise ProcessorError
