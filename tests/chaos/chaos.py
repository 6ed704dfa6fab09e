"""Runs orchestrations on real processes that are killed and frozen at random, then checks that nothing came of it.

Exit code 1 when something did: the seed is printed, the histories of what went wrong are kept.
"""

import argparse
import asyncio
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random, randrange

sys.path.append(str(Path(__file__).parents[1] / "support"))

import structlog
from client import Client, client
from faults import Faults
from fleet import Fleet
from verdict import Ledger, Verdict, judge
from workload import documents

_DISK_MIB = 96
_BOUND_SECONDS = 90.0
"""By then everything has ended: an event's and a task's ack waits, restarts, the slowest activity, with room."""


@dataclass(slots=True)
class Run:
    """What came of a run."""

    verdict: Verdict
    faults: Faults
    recovery: float
    drained: float


async def run(folder: Path, store: Path, disk: Path | None, options: argparse.Namespace) -> Run:
    """One run, from the first start to the verdict."""
    random = Random(options.seed)  # noqa: S311 - repeatable, not secret
    fleet = Fleet(folder, store, documents())
    faults = Faults(fleet, Random(options.seed + 1), disk)  # noqa: S311
    try:
        await asyncio.to_thread(fleet.start)
        server = fleet.server.server
        async with client(server.url, server.token, fleet.ledger, random) as outside:
            recovery, late = await _harm(fleet, faults, outside, options)
            idle = await _until_idle(outside)
            verdict = await judge(outside, Ledger(fleet.ledger, faults.freezes))
            verdict.add("the queues", idle)
            for oid in late:
                verdict.add(oid, [f"had not ended {_BOUND_SECONDS:g} s after the last fault"])
            began = time.monotonic()
            verdict.add("the processes", _wrong_codes(await asyncio.to_thread(fleet.drain)))
            drained = time.monotonic() - began
            if verdict.problems:
                await _keep(outside, verdict, folder)
        return Run(verdict, faults, recovery, drained)
    finally:
        fleet.end()


async def _harm(fleet: Fleet, faults: Faults, outside: Client, options: argparse.Namespace) -> tuple[float, list[str]]:
    """Load and faults, then quiet; seconds until the last orchestration had ended, and those that had not."""
    others = [asyncio.create_task(work) for work in (outside.complete_gates(), faults.watch())]
    load = asyncio.create_task(outside.submit(options.orchestrations, options.seconds * 0.9))
    try:
        await faults.run(options.seconds)
        await asyncio.to_thread(fleet.heal)
        ended = time.monotonic()
        _say(f"faults have ended, {len(outside.submitted)} orchestrations submitted")
        await load
        while (left := await outside.running()) and time.monotonic() < ended + _BOUND_SECONDS:  # noqa: ASYNC110 - the log
            await asyncio.sleep(0.2)
        return time.monotonic() - ended, [one.oid for one in left]
    finally:
        for task in (*others, load):
            task.cancel()
        await asyncio.gather(*others, load, return_exceptions=True)
        await outside.close()


async def _until_idle(outside: Client) -> list[str]:
    """What is still in a queue when everything has ended: nothing, after a task's ack wait or two."""
    deadline = time.monotonic() + 30
    while (found := await outside.queued()) and time.monotonic() < deadline:  # noqa: ASYNC110 - the server's figures
        await asyncio.sleep(0.5)
    return [f"{name}: {state}" for name, state in found.items()]


def _wrong_codes(codes: dict[str, int | None]) -> list[str]:
    return [f"{name} ended with {code} after SIGTERM" for name, code in codes.items() if code != 0]


async def _keep(outside: Client, verdict: Verdict, folder: Path) -> None:
    for oid in verdict.problems:
        if oid in outside.submitted:
            entries = await outside.messaging.log.read(outside.subjects.run(oid))
            (folder / f"{oid}.history.jsonl").write_bytes(b"".join(entry.data + b"\n" for entry in entries))


@contextmanager
def _small_disk(folder: Path, *, wanted: bool) -> Iterator[Path | None]:
    """A file system of its own, if this user may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m,mode=700", "tmpfs", str(folder)]
    mounted = wanted and shutil.which("mount") is not None
    mounted = mounted and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if wanted and not mounted:
        _say("mounting a small disk is not permitted here: no full disk in this run")
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def report(found: Run, options: argparse.Namespace) -> int:
    """Print the figures and what was wrong; the exit code."""
    for name, count in sorted(found.faults.done.items()):
        _say(f"  {count:7}  {name}")
    for name, count in sorted(found.verdict.counts.items()):
        _say(f"  {count:7}  {name}")
    _say(f"  {found.recovery:7.1f}  seconds from the last fault to the last end")
    _say(f"  {found.drained:7.1f}  seconds to drain every process")
    for oid, problems in found.verdict.problems.items():
        for problem in problems[:5]:
            _say(f"WRONG {oid}: {problem}")
    return 1 if found.verdict.problems else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is a command


def main() -> int:
    """Parse, run, report; keep what is needed to understand a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="for how long processes are killed and frozen")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run; random otherwise")
    parser.add_argument("--orchestrations", type=int, default=500)
    parser.add_argument("--no-full-disk", action="store_true", help="leave the server's disk alone")
    parser.add_argument("--keep", type=Path, default=Path("build/chaos"), help="where failures are kept")
    options = parser.parse_args()
    options.seed = randrange(1 << 31) if options.seed is None else options.seed  # noqa: S311
    _say(f"seed {options.seed}, {options.orchestrations} orchestrations, {options.seconds:g} s")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder = Path(tempfile.mkdtemp(prefix="tierform-chaos-"))
    code = 1
    try:
        with _small_disk(folder / "disk", wanted=not options.no_full_disk) as disk:
            store = disk or folder / "disk"
            found = asyncio.run(run(folder, store, disk, options))
        code = report(found, options)
    finally:
        if code:
            kept = options.keep / f"{options.seed}-{time.time():.0f}"
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("disk"), dirs_exist_ok=True)
            _say(f"seed {options.seed}: histories, ledger and logs are in {kept}")
        with suppress(OSError):
            shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
