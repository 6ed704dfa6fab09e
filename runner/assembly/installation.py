"""One installation, opened: a project, a bus, and what is built on them."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from runner.activity import ProcessorEnvironment, ProcessorFactory
from runner.assembly.confidential import Confidential
from runner.assembly.settings import EnvironmentSettings
from runner.errors import InvalidUsage
from runner.executor.agent import Agent
from runner.executor.neighbours import Neighbours
from runner.executor.providers import Providers
from runner.executor.settings import AgentSettings
from runner.interpreter.compiling import compile_bundle
from runner.interpreter.engine import Engine
from runner.interpreter.orchestrations import Orchestrations
from runner.interpreter.plans import BUCKET as DEFINITIONS
from runner.interpreter.plans import Plans
from runner.interpreter.settings import EngineSettings
from runner.messaging.jetstream import JetStreamSettings, connect
from runner.messaging.ports import Messaging
from runner.model.bundle import Bundle
from runner.model.definitions import DefinitionSet
from runner.project.folder import Project, is_project_module
from runner.project.store import ModuleStore
from runner.protocol.subjects import Subjects
from runner.secrets.envelope import Envelope
from runner.secrets.keys import Keyring, open_key_file
from runner.secrets.masking import SecretMasker
from runner.secrets.store import BUCKET as SECRETS
from runner.secrets.store import SecretStore

DEFAULT_CONCURRENCY = 8


def now_millis() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that a command needs, connected."""

    project: Project
    environment: EnvironmentSettings
    messaging: Messaging
    subjects: Subjects
    keyring: Keyring
    store: SecretStore
    masker: SecretMasker
    confidential: Confidential
    modules: ModuleStore
    plans: Plans
    orchestrations: Orchestrations

    def engine(self, settings: EngineSettings | None = None) -> Engine:
        """A new engine on this connection."""
        settings = settings or EngineSettings()
        if self.environment.archive_seconds is not None:
            settings = replace(settings, archive_after=timedelta(seconds=self.environment.archive_seconds))
        return Engine(
            self.messaging,
            self.plans,
            self.subjects,
            name=_unique("engine"),
            now=now_millis,
            secret=bytes.fromhex(self.keyring.fingerprint(b"completion tokens")),
            settings=settings,
            forget=self.store.delete_owner,
        )

    def agent(
        self,
        *,
        concurrency: int = 0,
        factories: Mapping[str, ProcessorFactory] | None = None,
        wants: Callable[[str], bool] | None = None,
    ) -> tuple[Agent, Providers]:
        """A new agent on this connection, and its processors, which the caller closes after it."""
        name = _unique("agent")
        neighbours = Neighbours(self.messaging.feed, self.subjects, name, socket.gethostname())
        providers = Providers(lambda provider: self._environment(provider, name, neighbours), factories)
        size = concurrency or self.environment.concurrency or DEFAULT_CONCURRENCY
        agent = Agent(
            self.messaging,
            self.subjects,
            providers,
            self.confidential,
            self.masker,
            name=name,
            now=now_millis,
            settings=AgentSettings(concurrency=size),
            wants=wants,
            neighbours=neighbours,
        )
        return agent, providers

    def _environment(self, provider: str, agent: str, neighbours: Neighbours) -> ProcessorEnvironment:
        folder = self.project.data.root if provider == "terraform" else self.project.data.root / "processors" / provider
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ProcessorEnvironment(
            data_dir=folder,
            modules=self.modules,
            cipher=Envelope(self.keyring, f"processor/{provider}"),
            masker=self.masker,
            agent=agent,
            agents_elsewhere=neighbours.are_elsewhere,
        )

    async def publish(self, definitions: DefinitionSet, orchestration_type: str) -> str:
        """Compile and register one definition with the modules it names, and return its bundle's digest."""
        bundle = Bundle.compile(definitions, orchestration_type)
        digests = {name: await self.modules.publish(self.project.module_folder(name)) for name in modules_of(bundle)}
        whole = Bundle.compile(definitions, orchestration_type, digests)
        return await self.plans.publish(orchestration_type, whole.to_bytes())


def modules_of(bundle: Bundle) -> list[str]:
    """Names of the project's module folders that a bundle's activity definitions use, its compensation's too."""
    activities: Iterable[Any] = bundle.activities.values()
    if bundle.compensation is not None:
        activities = [*activities, *bundle.compensation.activities.values()]
    named = {activity.config.get("module") for activity in activities if activity.provider == "terraform"}
    return sorted(name for name in named if isinstance(name, str) and name and is_project_module(name))


def _unique(kind: str) -> str:
    return f"{kind}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


@asynccontextmanager
async def open_installation(
    project: Project, nats: str | None, environment: EnvironmentSettings
) -> AsyncIterator[Installation]:
    """Connect to the server at ``nats``, or to the data folder's own, which is started when it does not run.

    Raises:
        runner.errors.TierformError: The data folder, the key file or the server cannot be used; the text says what to do.
    """
    project.data.create()
    keyring = open_key_file(environment.key_file, data_dir=project.data.root)
    async with _messaging(project, nats, environment) as messaging:
        try:
            yield _assembled(project, environment, messaging, keyring)
        finally:
            await messaging.close()


@asynccontextmanager
async def _messaging(project: Project, nats: str | None, environment: EnvironmentSettings) -> AsyncIterator[Messaging]:
    if nats is not None:
        _refuse_malformed(nats)
        yield await connect(
            JetStreamSettings(
                urls=tuple(nats.split(",")),
                token=environment.nats_token,
                user=environment.nats_user,
                password=environment.nats_password,
                credentials=environment.nats_credentials,
                prefix=environment.prefix,
            )
        )
        return
    from runner.embedded import attach  # noqa: PLC0415 - only this branch needs it

    endpoint = await attach(project.data.root)
    guard = asyncio.create_task(endpoint.guard())  # Starts the supervisor again if somebody kills it.
    try:
        yield await connect(JetStreamSettings(urls=(endpoint.url,), token=endpoint.token, prefix=environment.prefix))
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
        endpoint.release()


def _refuse_malformed(nats: str) -> None:
    for url in nats.split(","):
        found = urlsplit(url if "://" in url else f"nats://{url}")
        if not found.hostname or any(character.isspace() for character in url):
            raise InvalidUsage(
                f"connecting to NATS at '{nats}': '{url}' is no address",
                remedy="write it as nats://host:4222, several with commas between them",
            )


def _assembled(
    project: Project, environment: EnvironmentSettings, messaging: Messaging, keyring: Keyring
) -> Installation:
    subjects = Subjects(prefix=environment.prefix)
    store = SecretStore(messaging.documents(SECRETS), keyring)
    masker = SecretMasker()
    return Installation(
        project=project,
        environment=environment,
        messaging=messaging,
        subjects=subjects,
        keyring=keyring,
        store=store,
        masker=masker,
        confidential=Confidential(store, masker),
        modules=ModuleStore(messaging.blobs, project.data.cache),
        plans=Plans(messaging.blobs, messaging.documents(DEFINITIONS), compile_bundle),
        orchestrations=Orchestrations(messaging, subjects, "cli"),
    )
