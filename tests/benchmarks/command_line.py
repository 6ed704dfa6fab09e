"""Figures of the command line: help, the demo's deploy from a cold start, a hundred tenants at once, the whole demo."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from children import die_with_parent, memory_mib
from figures import Figure, median

PROJECT = Path(__file__).parents[2]
_TIERFORM = Path(sys.executable).parent / "tierform"
_HELPS, _DEPLOYS = 15, 5
_TENANTS = 100
_LOOK_SECONDS = 0.02


def help_seconds() -> list[Figure]:
    """The wall time of ``tierform --help``."""
    times = [_seconds([str(_TIERFORM), "--help"]) for _ in range(_HELPS)]
    return [Figure("help_seconds", median(times), "s", 0.4, 0.2, note=f"median of {_HELPS}")]


def deploy_seconds() -> list[Figure]:
    """The demo's deploy, with a fresh data folder and key each time."""
    times = []
    for _ in range(_DEPLOYS):
        with tempfile.TemporaryDirectory(prefix="tierform-bench-") as name:
            folder = Path(name)
            inputs = {"tenantId": "acme", "domain": "acme.example.com", "cell": "eu-1", "root": str(folder / "site")}
            given = [word for key, value in inputs.items() for word in ("-i", f"{key}={value}")]
            times.append(_seconds([*_run(folder), "--id", "acme-1", *given], folder))
            _check_deployed(folder, 1)
    note = f"median of {_DEPLOYS}, {min(times):.2f} to {max(times):.2f}"
    return [Figure("deploy_seconds", median(times), "s", 4, 2, note=note)]


def each_100_rss_mib() -> list[Figure]:
    """The peak memory of the process with engine and agent that deploys a hundred tenants."""
    with tempfile.TemporaryDirectory(prefix="tierform-bench-") as name:
        folder = Path(name)
        lines = folder / "tenants.jsonl"
        lines.write_text("".join(_tenant(folder, number) for number in range(_TENANTS)))
        began = time.perf_counter()
        process = subprocess.Popen(
            [*_run(folder), "--each", str(lines)],
            env=_environment(folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - calls prctl alone
        )
        peak = 0.0
        while process.poll() is None:
            try:
                peak = memory_mib(process.pid, peak=True)
            except (OSError, StopIteration):
                break
            time.sleep(_LOOK_SECONDS)
        if process.wait() != 0:
            message = f"the run of {_TENANTS} tenants ended with code {process.returncode}"
            raise RuntimeError(message)
        took = time.perf_counter() - began
        _check_deployed(folder, _TENANTS)
    return [Figure("each_100_rss_mib", peak, "MiB", 600, 300, note=f"{_TENANTS} tenants took {took:.0f} s")]


def demo_seconds() -> list[Figure]:
    """``make demo`` in a fresh clone, the downloads of the environment included."""
    with tempfile.TemporaryDirectory(prefix="tierform-bench-") as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(PROJECT), str(clone)], check=True)
        took = _seconds(["make", "--no-print-directory", "-C", str(clone), "demo"], without_make=True)
    return [Figure("demo_seconds", took, "s", 180, 90, note="downloads included")]


def _check_deployed(folder: Path, count: int) -> None:
    """A figure of something that did not happen is none."""
    made = len(list((folder / "site").rglob("did.json")))
    if made != count:
        message = f"{made} DID documents were made instead of {count}"
        raise RuntimeError(message)


def _tenant(folder: Path, number: int) -> str:
    tenant = f"tenant-{number}"
    inputs = {"tenantId": tenant, "domain": f"{tenant}.example.com", "cell": "eu-1", "root": str(folder / "site")}
    return json.dumps(inputs) + "\n"


def _run(folder: Path) -> list[str]:
    return [str(_TIERFORM), "run", "tenant.deploy", "--project", str(PROJECT), "--data-dir", str(folder / "data")]


def _environment(folder: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIERFORM_", "TF_"))}
    return kept if folder is None else {**kept, "TIERFORM_KEY_FILE": str(folder / "key")}


def _seconds(command: list[str], folder: Path | None = None, *, without_make: bool = False) -> float:
    environment = _environment(folder)
    if without_make:  # A make within a make would take over its options.
        environment = {name: value for name, value in environment.items() if not name.startswith("MAKE")}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{' '.join(command[:3])} ended with code {done.returncode}: {done.stderr[-500:]}"
        raise RuntimeError(message)
    return time.perf_counter() - began
