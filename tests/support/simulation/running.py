"""Runs seeds: one, or very many on every core."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from simulation.invariants import violations
from simulation.scenario import scenario
from simulation.world import World

SEEDS = Path(__file__).parents[2] / "simulation" / "seeds.txt"
_CHUNK = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed came to.

    Attributes:
        violations: Invariants that were broken, each with a sentence.
        digest: Of everything that happened.
    """

    seed: int
    violations: tuple[tuple[str, str], ...]
    digest: str

    def __str__(self) -> str:
        lines = [f"seed {self.seed} breaks (SIMULATE_SEED={self.seed} make simulate):"]
        return "\n".join(lines + [f"  {name.replace('_', ' ')}:\n    {text}" for name, text in self.violations[:10]])


def run_seed(seed: int) -> Outcome:
    """Play the seed's scenario and hold what is left of it against every invariant."""
    evidence = World(scenario(seed)).run()
    return Outcome(seed, tuple(violations(evidence)), evidence.digest())


def kept_seeds() -> list[int]:
    """Seeds that failed once: always played."""
    lines = (line.split("#", 1)[0].strip() for line in SEEDS.read_text().splitlines())
    return [int(line) for line in lines if line]


def run_seeds(seeds: Iterable[int], *, processes: int | None = None) -> Iterator[Outcome]:
    """The outcomes of many seeds as they come, on every core."""
    with get_context("spawn").Pool(processes or os.cpu_count(), initializer=_quiet) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=_CHUNK)


def _quiet() -> None:
    """Leave an interrupt to the parent, which ends the pool."""
    import signal  # noqa: PLC0415 - in the child alone

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def say(text: str) -> None:
    """One line for whoever watches."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
