"""`make simulate N=100000`: plays so many scenarios and holds each against every invariant.

``SIMULATE_SEED=17`` plays that one alone, ``SIMULATE_FROM=5000`` begins there. Prints failing seeds and ends with 1 if
there is one; keep such a seed in seeds.txt.
"""

import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parents[2])]

from simulation.running import Outcome, kept_seeds, run_seed, run_seeds, say  # noqa: E402 - the path comes first

_SHOWN = 10
_EVERY_SECONDS = 10.0


def main(count: int) -> int:
    """The exit code."""
    if seed := os.environ.get("SIMULATE_SEED"):
        outcome = run_seed(int(seed))
        say(str(outcome) if outcome.violations else f"seed {seed} keeps every invariant ({outcome.digest})")
        return int(bool(outcome.violations))
    first = int(os.environ.get("SIMULATE_FROM", "0"))
    return _play([*kept_seeds(), *range(first, first + count)])


def _play(seeds: list[int]) -> int:
    began = said = time.monotonic()
    failed: list[Outcome] = []
    done = 0
    for done, outcome in enumerate(run_seeds(seeds), start=1):
        if outcome.violations:
            failed.append(outcome)
            if len(failed) <= _SHOWN:
                say(str(outcome))
        if time.monotonic() - said > _EVERY_SECONDS:
            said = time.monotonic()
            say(f"{done} of {len(seeds)}, {done / (said - began):.0f} per second, {len(failed)} failed")
    seconds = time.monotonic() - began
    say(f"{done} scenarios in {seconds:.1f} s ({done / seconds:.0f} per second), {len(failed)} failed")
    if failed:
        say("failed: " + " ".join(str(outcome.seed) for outcome in failed))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
