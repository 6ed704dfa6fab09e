"""The extension point: what executes an activity."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from runner.activity.context import ActivityContext
from runner.activity.result import ActivityResult


@runtime_checkable
class ActivityProcessor(Protocol):
    """Executes activities of the types whose ``provider`` names it.

    ``process`` is a coroutine function, or a plain function, which is then run in a thread. It is called once per
    delivery, for many activities at the same time, and must be idempotent: the same delivery may come twice. What it
    raises is a fatal error with the exception's message; ``runner.errors.Retry`` is a retry error.

    A processor may also have ``async def start(self)``, called once before the first activity, and
    ``async def close(self)``, called once after the last.

    Source: The Orchestrator, "Activity Executors".
    """

    def process(self, context: ActivityContext) -> Awaitable[ActivityResult] | ActivityResult:
        """Do the work, or a part of it, and say how it went."""
        ...


class Modules(Protocol):
    """Where module folders come from, by digest."""

    async def folder(self, digest: str) -> Path:
        """A read-only folder with the module's files; the same digest always holds the same files.

        Raises:
            runner.errors.UnknownThing: No module of that digest is stored.
        """
        ...


class Cipher(Protocol):
    """Encrypts what is kept at rest."""

    def encrypt(self, data: bytes) -> bytes:
        """Bytes that only this installation's key opens."""
        ...

    def decrypt(self, data: bytes) -> bytes:
        """The reverse.

        Raises:
            runner.errors.Refused: The key is another one, or the bytes were altered.
        """
        ...


class Masker(Protocol):
    """Hides known secret values in texts."""

    def register(self, value: Any) -> None:
        """Remember a secret JSON value: every string and number leaf of it is masked from now on."""
        ...

    def mask(self, text: str) -> str:
        """The text with every known secret replaced by ``***``."""
        ...


def _nowhere() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ProcessorEnvironment:
    """What a processor factory is given.

    Attributes:
        data_dir: A folder of the processor's own, on this host; exists.
        modules: Module folders by digest.
        cipher: Encrypts what the processor keeps at rest.
        masker: Hides secrets in what the processor prints.
        agent: The agent's name, unique among live agents.
        single_host: Whether every agent of this installation is bound to run on this host.
        agents_elsewhere: Whether an agent on another host is known to live now.
        settings: Options by name, from the agent's configuration.
    """

    data_dir: Path
    modules: Modules
    cipher: Cipher
    masker: Masker
    agent: str = "agent"
    single_host: bool = True
    agents_elsewhere: Callable[[], bool] = _nowhere
    settings: dict[str, Any] = field(default_factory=dict)


class ProcessorFactory(Protocol):
    """What an entry point of the group ``tierform.processors`` names; the entry's name is the provider's."""

    def __call__(self, environment: ProcessorEnvironment) -> ActivityProcessor:
        """Make the processor; nothing is started yet."""
        ...
