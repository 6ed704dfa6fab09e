"""Exit codes, and the end of the process."""

import os
import sys
import threading
from contextlib import suppress
from enum import IntEnum
from typing import NoReturn


class Exit(IntEnum):
    """What the process ends with; listed in ``tierform --help``."""

    COMPLETED = 0
    ERRORED = 1
    INVALID = 2  # Bad usage, or an invalid definition or input.
    CANCELLED = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 completed, 1 errored, 2 bad usage or invalid definition or input, 3 cancelled, 4 timed out, "
    "130 interrupted."
)


def leave(code: int) -> NoReturn:
    """End this process; a thread that does not end, such as a processor's that was given up, does not keep it."""
    if threading.active_count() == 1:
        sys.exit(code)
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """As kill -9 does, but for what was printed: everything is made to be left like that."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
