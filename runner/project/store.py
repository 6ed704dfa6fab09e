"""Module folders by digest: published as archives, unpacked once per host into the cache.

Layout below the cache folder::

    modules/
    ├── .lock                      held by whoever writes here
    ├── .new-…/                    being unpacked; removed by the next one who holds the lock
    └── sha256-<64 hex>/
        ├── module/                the files, read-only: what `ModuleStore.folder` returns
        └── files.json             the digest, and each file's size, digest and executable bit

A folder gets its name by rename, when it and ``files.json`` are complete. Each process compares the files
with ``files.json`` before its first use of a folder; one that was altered, or that a power failure cut short, is unpacked
anew.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.errors import UnknownThing
from runner.messaging.ports import Blobs
from runner.project.disk import disk_errors_explained
from runner.project.modules import digest as digest_of
from runner.project.modules import pack, unpack

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class ModuleStore:
    """Publishes module folders and gives them back; a `runner.activity.Modules`.

    Safe for many processes on one cache folder.

    Args:
        blobs: Where archives are kept.
        cache: The data folder's cache folder.
    """

    def __init__(self, blobs: Blobs, cache: Path) -> None:
        self._blobs = blobs
        self._root = cache / "modules"
        self._verified: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def publish(self, folder: Path) -> str:
        """Store a module folder's archive unless it is stored, and return its digest.

        Raises:
            runner.errors.UnknownThing: There is no such folder.
            runner.errors.Refused: It can't be packed; see `runner.project.modules.module_files`.
            runner.errors.InvalidUsage: Something in it can't be read.
            runner.errors.Unreachable: The store did not answer.
        """
        return await self._blobs.put(await asyncio.to_thread(pack, folder))

    async def folder(self, digest: str) -> Path:
        """A read-only folder with the module's files.

        Raises:
            runner.errors.UnknownThing: No module of that digest is stored.
            runner.errors.Unreachable: The store did not answer, or the disk is full.
        """
        found = _DIGEST.fullmatch(digest)
        if found is None:
            raise UnknownThing(f"finding module {digest[:80]!r}: it is not a digest")
        place = self._root / f"sha256-{found[1]}"
        async with self._locks[digest]:
            if digest not in self._verified or not await asyncio.to_thread(place.is_dir):
                await self._provide(digest, place)
                self._verified.add(digest)
        return place / "module"

    async def _provide(self, digest: str, place: Path) -> None:
        if not await asyncio.to_thread(_is_whole, place, digest):
            data = await self._blobs.get(digest)
            if digest_of(data) != digest:
                raise UnknownThing(f"finding module '{digest}': what is stored under it was altered")
            await asyncio.to_thread(_install, place, digest, data)


def _install(place: Path, digest: str, data: bytes) -> None:
    with disk_errors_explained(f"unpacking module '{digest}' into '{place}'"), _locked(place.parent):
        if _is_whole(place, digest):  # Another process was first.
            return
        for leftover in (place, *place.parent.glob(".new-*")):
            _remove(leftover)
        new = place.parent / f".new-{secrets.token_hex(8)}"
        try:
            unpack(data, new / "module")
            _write_listing(new / "files.json", digest, new / "module")
            new.rename(place)
        except BaseException:
            _remove(new)
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_whole(place: Path, digest: str) -> bool:
    """Whether the folder holds exactly the files it was unpacked with."""
    try:
        expected = json.loads((place / "files.json").read_bytes())
        return bool(expected == {"digest": digest, "files": _listing(place / "module")})
    except (OSError, ValueError):
        return False


def _write_listing(path: Path, digest: str, module: Path) -> None:
    with path.open("x", encoding="ascii") as file:
        json.dump({"digest": digest, "files": _listing(module)}, file, sort_keys=True)


def _listing(module: Path) -> dict[str, Any]:
    listing: dict[str, Any] = {}
    for folder, folders, names in os.walk(module, onerror=_raise):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*names, *links):
            path = Path(folder, name)
            listing[str(path.relative_to(module))] = "link" if path.is_symlink() else _facts(path)
    return listing


def _facts(path: Path) -> list[Any]:
    data = path.read_bytes()
    return [len(data), hashlib.sha256(data).hexdigest(), bool(path.stat().st_mode & stat.S_IXUSR)]


def _raise(error: OSError) -> None:
    raise error


def _remove(folder: Path) -> None:
    """Remove a folder whose folders are read-only, or a file in its place; none is no error."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    if folder.exists():
        shutil.rmtree(folder)
