"""What the operating system's refusals about files mean to a user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import InvalidUsage, TierformError, Unreachable

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM}
_PASSING = {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}


def disk_error(error: OSError, doing: str) -> TierformError:
    """The error to raise instead.

    Args:
        error: What the operating system said.
        doing: What was being done, with which folder: ``unpacking module 'ingress' into '…'``.
    """
    place = f" ('{error.filename}')" if error.filename else ""
    detail = f"{doing}: {(error.strerror or str(error)).lower()}{place}"
    if error.errno in _NO_ROOM:
        return Unreachable(detail, remedy="make room on that disk and run it again")
    if error.errno in _PASSING:
        return Unreachable(detail)
    if error.errno in _NOT_ALLOWED:
        return InvalidUsage(detail, remedy="give this user the right to it, or name another folder")
    if error.errno == errno.EROFS:
        return InvalidUsage(detail, remedy="name a folder on a disk that can be written")
    return InvalidUsage(detail, remedy="check the path")


@contextmanager
def disk_errors_explained(doing: str) -> Iterator[None]:
    """Raise `disk_error` for each `OSError` inside."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, doing) from error
