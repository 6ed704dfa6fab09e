"""`make mutants`: a table of broken engines and of the seed that caught each; ends with 1 when one survives."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parents[2])]

from simulation.mutants import SEEDS, play_all  # noqa: E402 - the path comes first


def main() -> int:
    """The exit code."""
    results = play_all()
    survived = 0
    for mutant, (seed, invariant) in results.items():
        survived += not seed
        verdict = f"caught by seed {seed}: {invariant}" if seed else f"SURVIVED {SEEDS} seeds"
        sys.stdout.write(f"{mutant.name:20} {mutant.breaks:70} {verdict}\n")
    sys.stdout.write(f"{len(results) - survived} of {len(results)} mutants caught\n")
    return int(bool(survived))


if __name__ == "__main__":
    sys.exit(main())
