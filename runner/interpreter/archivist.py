"""Moves what has ended a while ago into the archive, and removes from there what is kept no longer."""

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress

import structlog

from runner.engine.state import Orchestration
from runner.errors import TierformError
from runner.interpreter.orchestrations import Orchestrations
from runner.interpreter.retention import Retention
from runner.interpreter.settings import EngineSettings
from runner.protocol.subjects import token

_log = structlog.get_logger("engine")

_AGAIN_MILLIS = 5_000
_SIDE_BY_SIDE = 8
_BACKLOG_PER_WORKER = 250


class Archivist:
    """One engine's archivist.

    It works one at a time, beside what runs; more at once only while much has piled up.

    Args:
        store: The logs and the archive.
        retention: None when this engine removes nothing.
        settings: After how long, and for how long.
        now: Milliseconds since 1970.
        owns: Whether this engine works on an orchestration's partition; the others are another engine's.
        leads: Whether this engine is the one that removes.
    """

    def __init__(
        self,
        store: Orchestrations,
        retention: Retention | None,
        settings: EngineSettings,
        now: Callable[[], int],
        owns: Callable[[str], bool],
        leads: Callable[[], bool],
    ) -> None:
        self._store = store
        self._retention = retention
        self._settings = settings
        self._now = now
        self._owns = owns
        self._leads = leads
        self._due: list[tuple[int, str]] = []
        self._noted: set[str] = set()
        self._changed = asyncio.Event()

    def note(self, state: Orchestration) -> None:
        """Archive it in a while if it has ended; its response is stored. Noting it again changes nothing."""
        if self._settings.archive_after is None or not state.is_terminal or state.oid in self._noted:
            return
        self._noted.add(state.oid)
        self._push(state.oid, state.state_millis + int(self._settings.archive_after.total_seconds() * 1000))

    def _push(self, oid: str, due: int) -> None:
        heapq.heappush(self._due, (due, oid))
        if self._due[0] == (due, oid):
            self._changed.set()

    async def run(self) -> None:
        """Archive what is due and remove what is kept no longer, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._archive())
            if self._retention is not None:
                group.create_task(self._retain(self._retention))

    async def _archive(self) -> None:
        while True:
            await self._until_due()
            workers = min(1 + len(self._due) // _BACKLOG_PER_WORKER, _SIDE_BY_SIDE)
            await asyncio.gather(*(self._archive_next() for _ in range(workers)))

    async def _until_due(self) -> None:
        while not self._due or self._due[0][0] > self._now():
            self._changed.clear()
            wait = (self._due[0][0] - self._now()) / 1000 if self._due else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _archive_next(self) -> None:
        if not self._due or self._due[0][0] > self._now():
            return
        _, oid = heapq.heappop(self._due)
        try:
            if self._owns(oid):
                await self._store.archive_ended(token(oid))
        except TierformError as error:
            _log.warning("archiving", oid=oid, error=str(error))
            self._push(oid, self._now() + _AGAIN_MILLIS)
        except Exception:  # noqa: BLE001 - One orchestration's defect stops no other; it stays where it is.
            _log.exception("archiving", oid=oid)
            self._noted.discard(oid)
        else:
            self._noted.discard(oid)

    async def _retain(self, retention: Retention) -> None:
        pause = self._settings.retention_after
        while True:
            await asyncio.sleep(pause.total_seconds())
            pause = self._settings.retention_interval
            if not self._leads():
                continue
            try:
                removed = await retention.enforce(
                    self._now(), older_than=self._settings.keep_for, keep=self._settings.keep_count
                )
            except TierformError as error:
                _log.warning("removing what is kept no longer", error=str(error))
            else:
                if removed:
                    _log.info("removed what is kept no longer", count=removed)
