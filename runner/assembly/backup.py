"""Backups of everything an installation holds, made while its engines run.

===========================  =========================================================================================
member                       holds
===========================  =========================================================================================
``events.jsonl``             events that no engine has taken yet: manifests, reports, commands, completions
``logs/<kind>.jsonl``        the logs ``run``, ``done`` (the archive), ``response`` and ``dead``
``documents/<bucket>.jsonl``  definitions; secrets, as encrypted as they are stored
``blobs/<hex>``              bundles, module files, large values
``journal.jsonl``            what `tierform logs` shows
``files/…``                  of the data folder: Terraform workspaces with their local state, what other processors keep
===========================  =========================================================================================

The order makes it consistent. Events come first: one that an engine takes meanwhile is in a log that is read after it.
The archive comes after the logs, so what moves meanwhile is found in one of them. What is referred to (secrets, blobs)
comes after what refers to it. Tasks are not in it: they follow from the logs. Not in it either: the key file.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from runner.assembly.backup_file import BackupWriter
from runner.interpreter.plans import BUCKET as DEFINITIONS
from runner.messaging.ports import Messaging
from runner.messaging.rules import ARCHIVE, LOGS
from runner.project.datadir import DataDir
from runner.project.disk import disk_errors_explained
from runner.secrets.store import BUCKET as SECRETS

BUCKETS = (DEFINITIONS, SECRETS)
FOLDERS = ("workspaces", "processors")
_HAD_AGAIN = (".terraform", "providers")
_TRIES = 50
_PAUSE_SECONDS = 0.1


async def back_up(messaging: Messaging, prefix: str, data: DataDir, path: Path) -> Mapping[str, int]:
    """Write a backup to ``path`` and return how much of what is in it.

    Raises:
        runner.errors.Unreachable: The disk is full, or the server does not answer; ``path`` is untouched.
        runner.errors.InvalidUsage: The file can't be written.
    """
    with BackupWriter(path) as backup:
        await backup.add_lines("events.jsonl", _events(messaging, prefix))
        for kind in ("run", ARCHIVE, *(kind for kind in LOGS if kind not in ("run", ARCHIVE))):
            await backup.add_lines(f"logs/{kind}.jsonl", _log(messaging, prefix, kind))
        for bucket in BUCKETS:
            await backup.add_lines(f"documents/{bucket}.jsonl", _documents(messaging, bucket))
        digests = await messaging.blobs.digests()
        for digest in digests:
            backup.add(f"blobs/{digest.removeprefix('sha256:')}", await messaging.blobs.get(digest))
        await backup.add_lines("journal.jsonl", _journal(messaging, prefix))
        files = list(_files(data))
        for file in files:
            content = await _settled(file)
            if content is not None:
                backup.add(f"files/{file.relative_to(data.root)}", *content)
        backup.counts |= {"blobs": len(digests), "files": len(files)}
    return backup.counts


def text(data: bytes) -> str:
    """Bytes in JSON."""
    return base64.b64encode(data).decode("ascii")


async def _events(messaging: Messaging, prefix: str) -> AsyncIterator[dict[str, Any]]:
    for message in await messaging.queue.stored(f"{prefix}.event.>"):
        yield {"subject": message.subject.removeprefix(f"{prefix}."), "data": text(message.data)}


async def _log(messaging: Messaging, prefix: str, kind: str) -> AsyncIterator[dict[str, Any]]:
    start = 0
    while page := await messaging.log.scan(f"{prefix}.{kind}.>", start=start):
        for entry in page:
            yield {"subject": entry.subject.removeprefix(f"{prefix}."), "data": text(entry.data)}
        start = page[-1].sequence + 1


async def _documents(messaging: Messaging, bucket: str) -> AsyncIterator[dict[str, Any]]:
    documents = messaging.documents(bucket)
    for key in await documents.keys():
        document = await documents.get(key)
        if document is not None:
            yield {"key": key, "data": text(document.data)}


async def _journal(messaging: Messaging, prefix: str) -> AsyncIterator[dict[str, Any]]:
    async for message in await messaging.feed.follow(f"{prefix}.live.>", live=False):
        yield {"subject": message.subject.removeprefix(f"{prefix}."), "data": text(message.data)}


def _files(data: DataDir) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((data.root / folder).rglob("*")):
            parts = path.relative_to(data.root).parts
            if path.is_file() and not path.is_symlink() and not _follow(_HAD_AGAIN, parts):
                yield path


def _follow(pair: tuple[str, str], parts: Iterable[str]) -> bool:
    return pair in pairwise(parts)


async def _settled(path: Path) -> tuple[bytes, int] | None:
    """A file's bytes and mode at a moment when nobody writes it; None when it is gone.

    Terraform writes its state in place: a state must be whole JSON, and no file may have changed while it was read.
    """
    found: _Read | None = None
    for _ in range(_TRIES):
        found = await asyncio.to_thread(_read, path)
        if found is None or found.is_settled:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    return None if found is None else (found.content, found.mode)


class _Read(NamedTuple):
    content: bytes
    mode: int
    is_settled: bool


def _read(path: Path) -> _Read | None:
    with disk_errors_explained(f"reading '{path}'"):
        try:
            before = path.stat()
            content = path.read_bytes()
            after = path.stat()
        except FileNotFoundError:
            return None
    same = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    whole = path.suffix != ".tfstate" or _is_json(content)
    return _Read(content, before.st_mode & 0o777, same and whole)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content or b"{}")
    except ValueError:
        return False
    return True
