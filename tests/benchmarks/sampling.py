"""A profile by CPU time that hardly slows what it looks at: the stack, every so many milliseconds of CPU time."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_INTERVAL_SECONDS = 0.002
_PARTS = ("runner/", "processors/", "nats/", "uvloop", "asyncio/", "msgspec", "tests/")


@contextmanager
def sampled(into: Path | None) -> Iterator[None]:
    """Sample while the block runs, and write shares of functions alone and with what they called; None does nothing."""
    if into is None:
        yield
        return
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()

    def note(_: int, frame: FrameType | None) -> None:
        own[_name(frame)] += 1
        seen = set()
        while frame is not None:
            seen.add(_name(frame))
            frame = frame.f_back
        whole.update(seen)

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL_SECONDS, _INTERVAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        into.write_text(f"own time\n{_shares(own)}\n\nwith what it called\n{_shares(whole, own.total())}\n")


def _name(frame: FrameType | None) -> str:
    if frame is None:
        return "?"
    code = frame.f_code
    file = code.co_filename
    part = max((file.rfind(part) for part in _PARTS), default=-1)
    return f"{file[part:] if part >= 0 else file}:{code.co_qualname}"


def _shares(counter: Counter[str], total: int | None = None) -> str:
    whole = total or counter.total() or 1
    return "\n".join(f"{100 * count / whole:6.1f} %  {name}" for name, count in counter.most_common(70))
