"""How long archived orchestrations are kept."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from runner.interpreter.archive import Head
from runner.interpreter.orchestrations import Orchestrations
from runner.messaging.ports import Messaging
from runner.protocol.subjects import Subjects


class Retention:
    """Removes archived orchestrations with all that belongs to them; a running one is never touched.

    Args:
        messaging: The bus.
        subjects: Names.
        store: Where the archive is.
        forget: Deletes the secrets of an orchestration's id.
    """

    def __init__(
        self,
        messaging: Messaging,
        subjects: Subjects,
        store: Orchestrations,
        forget: Callable[[str], Awaitable[object]],
    ) -> None:
        self._log = messaging.log
        self._feed = messaging.feed
        self._subjects = subjects
        self._store = store
        self._forget = forget

    async def enforce(self, now: int, *, older_than: timedelta | None, keep: int | None) -> int:
        """Remove what ended longer ago than that, and all but the so many that ended last; how many were removed.

        Args:
            now: Milliseconds since 1970.
            older_than: None for no limit of age.
            keep: None for no limit of number.
        """
        ended = [(head.state_millis, token, head) async for token, head in self._store.archive.heads()]
        ended.sort(key=lambda one: one[:2], reverse=True)
        latest = now - older_than // timedelta(milliseconds=1) if older_than is not None else -1
        chosen = [
            (token, head)
            for place, (millis, token, head) in enumerate(ended)
            if millis <= latest or (keep is not None and place >= keep)
        ]
        return sum([await self._remove(token, head) for token, head in chosen])

    async def _remove(self, token: str, head: Head) -> bool:
        """Remove one, its place in the list last: what a crash leaves is removed by the next look."""
        if await self._log.last(f"{self._subjects.prefix}.run.{token}") is not None:
            return False  # It is being run again, or not wholly archived.
        await self._forget(head.oid)
        for generation in range(1, head.generation + 1):
            await self._log.purge(self._subjects.response(head.oid, generation))
        await self._feed.forget(self._subjects.live(head.oid))
        await self._store.archive.remove(token)
        return True
