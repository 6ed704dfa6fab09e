"""Runs whole orchestrations in one process, over the memory bus or any other, without a server, files or a key."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from runner.activity import ActivityProcessor, ProcessorEnvironment, ProcessorFactory
from runner.engine.plan import Plan
from runner.engine.state import Orchestration
from runner.errors import UnknownThing, Unreachable
from runner.executor.agent import Agent
from runner.executor.providers import Providers
from runner.executor.settings import AgentSettings
from runner.interpreter.engine import Engine
from runner.interpreter.orchestrations import Orchestrations
from runner.interpreter.settings import EngineSettings
from runner.messaging.large import Large
from runner.messaging.memory import MemoryBus
from runner.messaging.ports import Messaging
from runner.protocol.messages import VERSION, CommandEvent, ManifestEvent, encode
from runner.protocol.subjects import Subjects


class _Plain:
    """Neither encrypts nor hides: there are no secrets in this environment."""

    async def folder(self, digest: str) -> Path:
        raise UnknownThing(f"looking for module '{digest}': this environment has no modules")

    def encrypt(self, data: bytes) -> bytes:
        return data

    def decrypt(self, data: bytes) -> bytes:
        return data

    def register(self, value: Any) -> None:
        del value

    def mask(self, text: str) -> str:
        return text

    async def reveal(self, value: Any, *, owner: str) -> tuple[Any, list[Any]]:
        del owner
        return value, []

    async def conceal_outputs(self, values: dict[str, Any], names: Iterable[str], schema: Any, owner: str) -> Any:
        del names, schema, owner
        return values


@dataclass(frozen=True, slots=True)
class _FixedPlans:
    plans: Mapping[str, Plan]

    async def of(self, orchestration: Orchestration | None, manifest: ManifestEvent | None) -> Plan:
        name = orchestration.bundle if orchestration else manifest.orchestration_type if manifest else ""
        for plan in self.plans.values():
            if name in (plan.digest, plan.type):
                return plan
        raise UnknownThing(f"looking for a definition: there is no '{name}'")


def _now() -> int:
    return time.time_ns() // 1_000_000


class Environment:
    """Engines and agents over one bus.

    Args:
        plans: The definitions, compiled.
        processors: The processor of each provider.
        connect: Opens a connection to the bus; each engine and agent gets its own. The memory bus when not given.
        subjects: Names.
    """

    def __init__(
        self,
        plans: Iterable[Plan],
        processors: Mapping[str, ActivityProcessor],
        *,
        connect: Callable[[], Messaging] | None = None,
        subjects: Subjects | None = None,
        engine_settings: EngineSettings | None = None,
        agent_settings: AgentSettings | None = None,
    ) -> None:
        self.subjects = subjects or Subjects()
        self._plans = {plan.type: plan for plan in plans}
        self._processors = dict(processors)
        self._connect = connect or MemoryBus().connect
        self._client = self._connect()
        self._engine_settings = engine_settings
        self._agent_settings = agent_settings
        self._store = Orchestrations(self._client, self.subjects, "client")

    @asynccontextmanager
    async def running(self, engines: int = 1, agents: int = 1) -> AsyncIterator["Environment"]:
        """So many engines and agents, until the block ends."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.run_engine(f"engine-{n}")) for n in range(engines)]
            tasks += [group.create_task(self.run_agent(f"agent-{n}")) for n in range(agents)]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    async def run_engine(self, name: str) -> None:
        """One engine, until cancelled."""
        engine = Engine(
            self._connect(),
            _FixedPlans(self._plans),
            self.subjects,
            name=name,
            now=_now,
            secret=b"test",
            settings=self._engine_settings,
        )
        await engine.run()

    async def run_agent(self, name: str) -> None:
        """One agent for every activity type, until cancelled."""
        plain = _Plain()
        environment = ProcessorEnvironment(Path(), plain, plain, plain, agent=name)
        providers = Providers(
            lambda _: environment, {key: _factory(processor) for key, processor in self._processors.items()}
        )
        agent = Agent(
            self._connect(),
            self.subjects,
            providers,
            plain,
            plain,
            name=name,
            now=_now,
            settings=self._agent_settings,
        )
        types = {activity.type for plan in self._plans.values() for activity in plan.activities.values()}
        try:
            await agent.run(sorted(types))
        finally:
            await agent.abandon()
            await providers.close()

    async def start(self, orchestration_type: str, payload: Mapping[str, Any] | None = None, **members: Any) -> str:
        """Publish a manifest and return the orchestration's id."""
        oid = members.pop("oid", None) or uuid4().hex
        event = ManifestEvent(
            v=VERSION,
            event_id=uuid4().hex,
            oid=oid,
            orchestration_type=orchestration_type,
            payload=dict(payload or {}),
            **members,
        )
        data = await Large(self._client).wrap(encode(event), "starting an orchestration")
        await self._client.queue.publish(self.subjects.event(oid), data)
        return oid

    async def cancel(self, oid: str) -> None:
        """Ask for an orchestration's end."""
        event = CommandEvent(v=VERSION, event_id=uuid4().hex, oid=oid, command="cancel")
        await self._client.queue.publish(self.subjects.event(oid), encode(event))

    async def state(self, oid: str) -> Orchestration | None:
        """The state as its log has it."""
        return (await self._store.load(oid)).orchestration

    async def until(self, oid: str, condition: Callable[[Orchestration], bool], seconds: float = 20.0) -> Orchestration:
        """The state as soon as it fulfils the condition.

        Raises:
            TimeoutError: It did not within ``seconds``.
        """
        async with asyncio.timeout(seconds):
            while True:
                with suppress(Unreachable):
                    state = await self.state(oid)
                    if state is not None and condition(state):
                        return state
                await asyncio.sleep(0.005)

    async def run(self, orchestration_type: str, payload: Mapping[str, Any] | None = None) -> Orchestration:
        """Start an orchestration and return its last state."""
        oid = await self.start(orchestration_type, payload)
        return await self.until(oid, lambda state: state.is_terminal)


def _factory(processor: ActivityProcessor) -> ProcessorFactory:
    def make(environment: ProcessorEnvironment) -> ActivityProcessor:
        del environment
        return processor

    return make
