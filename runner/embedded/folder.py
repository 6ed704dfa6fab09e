"""The data folder: its version, and clear words when it can't be used."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import __version__
from runner.embedded.supervisor import Files, write_private
from runner.errors import InvalidUsage, NewerData, TierformError, Unreachable

FORMAT = 1
"""Grows when an older program could no longer read the folder."""

_VERSION = "version.json"
_NEEDED_BYTES = 16 * 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def clear_errors(folder: Path) -> Iterator[None]:
    """Translate what the file system says about the folder."""
    try:
        yield
    except OSError as error:
        raise _translate(error, folder) from error


def _translate(error: OSError, folder: Path) -> TierformError:
    detail = f"using the data folder {str(folder)[:200]!r}: {error.strerror or error}"
    if error.errno in _FULL:
        return Unreachable(detail, remedy="free some disk space, or choose another folder with --data-dir")
    if error.errno in _FORBIDDEN:
        return InvalidUsage(detail, remedy="make it writable for this user, or choose another folder with --data-dir")
    return InvalidUsage(detail, remedy="choose another folder with --data-dir")


def prepare(folder: Path) -> Files:
    """Make the folder if it is missing, check its version, and that it can be written to.

    Raises:
        NewerData: A newer version wrote it.
        InvalidUsage: It can't be made or written.
        Unreachable: The disk is full.
    """
    with clear_errors(folder):
        inner = folder / "nats"
        inner.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_version(folder)
        free = os.statvfs(inner)
        if free.f_bavail * free.f_frsize < _NEEDED_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if not (folder / _VERSION).exists():
            write_private(str(folder / _VERSION), json.dumps({"format": FORMAT, "product": __version__}))
        if not os.access(inner, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return Files(str(inner.resolve()))


def check_version(folder: Path) -> None:
    """Refuse a folder of a newer version.

    Raises:
        NewerData: The detail says which version wrote it.
        InvalidUsage: Its version can't be read.
    """
    path = folder / _VERSION
    if not path.exists():
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        written, product = int(known["format"]), str(known.get("product", "unknown"))
    except (ValueError, KeyError, TypeError) as error:
        detail = f"the version file {str(path)!r} of the data folder is damaged"
        raise InvalidUsage(detail, remedy="restore it from a backup, or choose another folder") from error
    if written > FORMAT:
        detail = (
            f"the data folder {str(folder)!r} was written by Tierform {product} (format {written}); "
            f"this is {__version__} and reads format {FORMAT}"
        )
        raise NewerData(detail, remedy=f"use Tierform {product} or newer, or choose another folder with --data-dir")
