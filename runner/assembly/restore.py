"""A backup into an installation that is empty, or is emptied first."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from runner.assembly.backup import BUCKETS, FOLDERS
from runner.assembly.backup_file import Backup
from runner.engine.record import decode, encode
from runner.errors import NeverRetry, Refused
from runner.interpreter.archive import head_of
from runner.messaging.large import Large
from runner.messaging.ports import Messaging
from runner.messaging.rules import ARCHIVE, LOGS
from runner.project.datadir import DataDir
from runner.project.disk import disk_errors_explained
from runner.protocol.messages import decode_event
from runner.protocol.subjects import Subjects

_LISTEN_SECONDS = 1.5
_AT_ONCE = 64


class Restore:
    """Restores one backup.

    Args:
        messaging: The bus.
        subjects: Names; they need not be those of the installation that was backed up.
        data: The data folder.
        backup: Verified.
    """

    def __init__(self, messaging: Messaging, subjects: Subjects, data: DataDir, backup: Backup) -> None:
        self._messaging = messaging
        self._large = Large(messaging)
        self._subjects = subjects
        self._data = data
        self._backup = backup
        self._taken: set[str] = set()

    async def run(self, *, force: bool) -> None:
        """Write everything; logs come before events, so what a crash leaves is never run.

        Args:
            force: Empty the installation first; its workspaces are moved aside, never removed.

        Raises:
            Refused: An engine works here, or there is something here already.
            runner.errors.Unreachable: The server does not answer, or the disk is full; give the command again.
        """
        await self._refuse_engines()
        if not await self._is_empty():
            if not force:
                raise Refused(
                    "restoring a backup: this installation is not empty",
                    remedy="name an empty one with --data-dir, or replace what is here with --force",
                )
            await self._empty()
        for name in self._backup.names("blobs/"):
            await self._messaging.blobs.put(self._backup.data(name))
        for bucket in BUCKETS:
            documents = self._messaging.documents(bucket)
            await self._each(f"documents/{bucket}.jsonl", "key", documents.put)
        for kind in LOGS:
            if kind != "run":
                await self._each(f"logs/{kind}.jsonl", "subject", self._append)
        await asyncio.to_thread(self._files)
        await self._runs()
        await self._each("journal.jsonl", "subject", self._say)
        await self._each("events.jsonl", "subject", self._publish)

    async def _refuse_engines(self) -> None:
        beats = await self._messaging.feed.subscribe(self._subjects.beats("engine"))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LISTEN_SECONDS):
                    async for _ in beats:
                        raise Refused(
                            "restoring a backup: an engine works on this installation",
                            remedy="stop it first: tierform stop, or SIGTERM to every tierform serve and run",
                        )
        finally:
            await beats.close()

    async def _is_empty(self) -> bool:
        for kind in LOGS:
            if await self._messaging.log.subjects(self._full(kind)):
                return False
        for bucket in BUCKETS:
            if await self._messaging.documents(bucket).keys():
                return False
        folders = [self._data.root / folder for folder in FOLDERS]
        return not any(folder.is_dir() and any(folder.iterdir()) for folder in folders)

    async def _empty(self) -> None:
        for kind in LOGS:
            for subject in await self._messaging.log.subjects(self._full(kind)):
                await self._messaging.log.purge(subject)
        for bucket in BUCKETS:
            documents = self._messaging.documents(bucket)
            for key in await documents.keys():
                await documents.delete(key)
        for kind in ("event", "task"):
            await self._messaging.queue.discard(self._full(f"{kind}.>"))
        await self._messaging.feed.forget(self._full("live.>"))
        for folder in FOLDERS:
            place = self._data.root / folder
            if place.is_dir() and any(place.iterdir()):
                place.rename(self._data.root / f"{folder}.replaced-{time.time_ns() // 1_000_000}")
                place.mkdir(mode=0o700)

    async def _each(self, name: str, key: str, write: Callable[[str, bytes], Awaitable[Any]]) -> None:
        """Write the lines of a member, several side by side; what is in order is written by `_runs`."""
        batch: list[Awaitable[Any]] = []
        for line in self._backup.lines(name):
            batch.append(write(line[key], base64.b64decode(line["data"])))
            if len(batch) >= _AT_ONCE:
                await asyncio.gather(*batch)
                batch = []
        await asyncio.gather(*batch)

    async def _append(self, subject: str, data: bytes) -> None:
        await self._messaging.log.append(self._full(subject), data)

    async def _say(self, subject: str, data: bytes) -> None:
        await self._messaging.feed.publish(self._full(subject), data)

    async def _publish(self, subject: str, data: bytes) -> None:
        """Events that a log has already are left out: a retry must not be taken twice."""
        with suppress(NeverRetry):
            if decode_event(await self._large.unwrap(data)).event_id in self._taken:
                return
        await self._messaging.queue.publish(self._full(subject), data)

    async def _runs(self) -> None:
        """The logs of what had not been archived, each in order and with the new sequences in its records."""
        archived = {
            line["subject"].removeprefix(f"{ARCHIVE}."): head_of(base64.b64decode(line["data"])).number
            for line in self._backup.lines(f"logs/{ARCHIVE}.jsonl")
            if line["subject"].count(".") == 1
        }
        bases: dict[str, int] = {}
        for line in self._backup.lines("logs/run.jsonl"):
            subject = line["subject"]
            record = decode(await self._large.unwrap(base64.b64decode(line["data"])))
            self._taken |= set(record.events)
            if record.number <= archived.get(subject.removeprefix("run."), 0):
                continue  # It moved to the archive while the backup was made.
            record = msgspec.structs.replace(record, base=bases.get(subject, 0))
            data = await self._large.wrap(encode(record), "restoring a log", most=1 << 40)
            sequence = await self._messaging.log.append(self._full(subject), data)
            if record.snapshot is not None:
                bases[subject] = sequence

    def _files(self) -> None:
        for name in self._backup.names("files/"):
            path = self._data.root / Path(*_safe(name.removeprefix("files/")))
            with disk_errors_explained(f"restoring '{path}'"):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(self._backup.data(name))
                path.chmod(self._backup.mode(name))

    def _full(self, subject: str) -> str:
        return f"{self._subjects.prefix}.{subject}"


def _safe(name: str) -> tuple[str, ...]:
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or parts[0] not in FOLDERS:
        raise Refused(f"restoring a backup: its member '{name}' leads out of the data folder")
    return parts
