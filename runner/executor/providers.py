"""Finds processors by provider name, through the entry-point group ``tierform.processors``."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from runner.activity import ActivityProcessor, ProcessorEnvironment, ProcessorFactory
from runner.errors import Fatal

GROUP = "tierform.processors"


class Providers:
    """Makes each provider's processor once, when it is first needed.

    Args:
        environment: Gives a provider its environment.
        factories: Processors by name, before the installed ones (tests, embedding programs).
    """

    def __init__(
        self,
        environment: Callable[[str], ProcessorEnvironment],
        factories: Mapping[str, ProcessorFactory] | None = None,
    ) -> None:
        self._environment = environment
        self._factories = dict(factories or {})
        self._installed: dict[str, EntryPoint] | None = None
        self._processors: dict[str, asyncio.Task[ActivityProcessor]] = {}

    def names(self) -> list[str]:
        """Every provider there is a processor for, sorted."""
        return sorted({*self._factories, *self._entry_points()})

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._installed is None:
            self._installed = {entry.name: entry for entry in entry_points(group=GROUP)}
        return self._installed

    async def processor(self, provider: str) -> ActivityProcessor:
        """The provider's processor, started.

        Raises:
            Fatal: There is none, or it cannot be loaded; the detail says which are installed.
        """
        task = self._processors.get(provider)
        if task is None:
            task = asyncio.create_task(self._make(provider))
            self._processors[provider] = task
        try:
            return await asyncio.shield(task)
        except Exception:
            self._processors.pop(provider, None)
            raise

    async def _make(self, provider: str) -> ActivityProcessor:
        factory = self._factory(provider)
        processor = factory(self._environment(provider))
        start = getattr(processor, "start", None)
        if start is not None:
            await _settled(start())
        return processor

    def _factory(self, provider: str) -> ProcessorFactory:
        if provider in self._factories:
            return self._factories[provider]
        entry = self._entry_points().get(provider)
        if entry is None:
            raise Fatal(
                f"finding the processor of provider '{provider}': none is installed here "
                f"(there are: {', '.join(self.names())})",
                remedy="install the package that provides it, or correct the activity definition's provider",
            )
        try:
            loaded: ProcessorFactory = entry.load()
        except Exception as error:
            raise Fatal(
                f"loading the processor of provider '{provider}' from '{entry.value}': {type(error).__name__}: {error}"
            ) from error
        return loaded

    async def close(self) -> None:
        """Close every processor that was made, to the end despite errors."""
        tasks, self._processors = list(self._processors.values()), {}
        for processor in await asyncio.gather(*tasks, return_exceptions=True):
            close = getattr(processor, "close", None)
            if close is not None:
                await asyncio.gather(_settled(close()), return_exceptions=True)


async def _settled(value: object) -> None:
    if inspect.isawaitable(value):
        await value
