"""Exit codes."""

from enum import IntEnum


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
