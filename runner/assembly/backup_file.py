"""The file of a backup: a tar archive that is there whole or not at all, and says of each member what it must be.

``manifest.json`` is its last member::

    {"format": 1, "product": "0.1.0", "createdMillis": …, "counts": {"logs/run.jsonl": 12, …},
     "members": {"logs/run.jsonl": {"sha256": "…", "bytes": 123}, …}}
"""

import hashlib
import io
import json
import os
import secrets
import tarfile
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import orjson

from runner import __version__
from runner.errors import InvalidUsage, NewerData
from runner.project.disk import disk_errors_explained

FORMAT = 1
MANIFEST = "manifest.json"
_ANOTHER = "take another one"
_PRIVATE = 0o600
_BLOCK_BYTES = 1024 * 1024


class BackupWriter:
    """Writes one backup; as a context manager it leaves the whole file, or after an error nothing.

    Args:
        path: Where it is to be; a file that is there is replaced at the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        self._members: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        with disk_errors_explained(f"writing the backup '{self._path}'"):
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
            self._file = os.fdopen(descriptor, "wb")
            self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with disk_errors_explained(f"writing the backup '{self._path}'"):
                if error is None:
                    self._finish()
        finally:
            with suppress(OSError):
                self._file.close()
            self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        manifest = {
            "format": FORMAT,
            "product": __version__,
            "createdMillis": time.time_ns() // 1_000_000,
            "counts": self.counts,
            "members": self._members,
        }
        self._add(MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()), _PRIVATE)
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def add(self, name: str, data: bytes, mode: int = _PRIVATE) -> None:
        """One member."""
        with disk_errors_explained(f"writing the backup '{self._path}'"):
            self._add(name, io.BytesIO(data), mode)

    async def add_lines(self, name: str, lines: AsyncIterator[Mapping[str, Any]]) -> None:
        """One member of one JSON object per line; they wait in a nameless file beside it until all are there."""
        count = 0
        doing = f"writing the backup '{self._path}'"
        with disk_errors_explained(doing), tempfile.TemporaryFile(dir=self._path.parent) as spool:
            async for line in lines:
                spool.write(orjson.dumps(line) + b"\n")
                count += 1
            self._add(name, spool, _PRIVATE)
        self.counts[name] = count

    def _add(self, name: str, content: IO[bytes], mode: int) -> None:
        digest, size = _digest(content)
        content.seek(0)
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, mode, int(time.time())
        self._tar.addfile(member, content)
        self._members[name] = {"sha256": digest, "bytes": size}


def _digest(content: IO[bytes]) -> tuple[str, int]:
    content.seek(0)
    digest, size = hashlib.sha256(), 0
    while block := content.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


@dataclass(frozen=True, slots=True)
class Backup:
    """A verified backup."""

    tar: tarfile.TarFile
    manifest: Mapping[str, Any]

    def lines(self, name: str) -> Iterator[Any]:
        """The JSON objects of a member, none when there is no such member."""
        if name in self.manifest["members"]:
            for line in self._content(name):
                yield orjson.loads(line)

    def names(self, prefix: str) -> list[str]:
        """Members whose names start so, sorted."""
        return sorted(name for name in self.manifest["members"] if name.startswith(prefix))

    def data(self, name: str) -> bytes:
        """A member's bytes."""
        return self._content(name).read()

    def mode(self, name: str) -> int:
        """A member's permissions."""
        return self.tar.getmember(name).mode & 0o777

    def _content(self, name: str) -> IO[bytes]:
        content = self.tar.extractfile(name)
        if content is None:
            raise InvalidUsage(f"reading a backup: '{name}' is no file")
        return content


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """Open a backup once every byte of it is what its manifest says.

    Raises:
        InvalidUsage: It can't be read, is no backup, or is damaged.
        NewerData: A newer version wrote it.
    """
    doing = f"reading the backup '{path}'"
    with disk_errors_explained(doing):
        try:
            with tarfile.open(path) as tar:
                yield Backup(tar, _verified(tar, doing))
        except (tarfile.TarError, EOFError, zlib.error, ValueError, KeyError) as error:
            raise InvalidUsage(f"{doing}: it is no backup, or it is damaged ({error})", remedy=_ANOTHER) from error


def _verified(tar: tarfile.TarFile, doing: str) -> Mapping[str, Any]:
    content = tar.extractfile(MANIFEST)
    manifest: Mapping[str, Any] = json.load(content) if content else {}
    if manifest["format"] > FORMAT:
        detail = f"{doing}: Tierform {manifest['product']} wrote it (format {manifest['format']}); "
        detail += f"this is {__version__} and reads format {FORMAT}"
        raise NewerData(detail, remedy=f"use Tierform {manifest['product']} or newer")
    left = dict(manifest["members"])
    for member in tar:
        if member.name == MANIFEST:
            continue
        expected, found = left.pop(member.name, None), tar.extractfile(member)
        if found is None or expected is None or _digest(found) != (expected["sha256"], expected["bytes"]):
            raise InvalidUsage(f"{doing}: its member '{member.name}' is damaged", remedy=_ANOTHER)
    if left:
        raise InvalidUsage(f"{doing}: its member '{next(iter(left))}' is missing", remedy=_ANOTHER)
    return manifest
