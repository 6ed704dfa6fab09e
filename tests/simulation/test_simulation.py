"""Two thousand simulated runs of engines and agents, each held against every invariant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.running import Outcome, kept_seeds, run_seed, run_seeds
from simulation.world import World

COUNT = 2000


@pytest.mark.timeout(600)
def test_every_invariant_holds_in_two_thousand_scenarios():
    seeds = [int(os.environ["SIMULATE_SEED"])] if "SIMULATE_SEED" in os.environ else [*kept_seeds(), *range(COUNT)]
    failed = [outcome for outcome in run_seeds(seeds) if outcome.violations]
    assert not failed, "\n".join(map(str, failed[:5]))


def test_a_seed_gives_the_same_run_in_every_process():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from simulation.running import run_seed; print(run_seed(5).digest)"
    )
    support = next(path for path in sys.path if path.endswith("support"))
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, support, str(Path.cwd())],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {run_seed(5).digest + "\n"}


def test_a_failing_seed_names_itself_the_invariant_and_how_to_play_it_again():
    text = str(Outcome(17, (("no_such_thing", "because"),), ""))
    assert "SIMULATE_SEED=17" in text
    assert "no such thing" in text
    assert "because" in text


def test_scenarios_do_what_they_are_made_for():
    """All results, terminal states and mishaps occur: a simulation that exercises nothing would pass as well."""
    from simulation.scenario import scenario  # noqa: PLC0415

    seen: set[str] = set()
    for seed in range(60):
        drawn = scenario(seed)
        seen |= {mishap.what for mishap in drawn.mishaps}
        evidence = World(drawn).run()
        for log in evidence.logs.values():
            seen |= {type(fact).__name__ for one in log for fact in one.record.facts}
            seen |= {f"cause:{fact.cause}" for one in log for fact in one.record.facts if hasattr(fact, "cause")}
            seen |= {log[-1].after.state.name} if log else set()
    assert seen >= {"kill", "stop", "freeze", "clock", "server"}
    assert seen >= {"Completed", "Waiting", "Scheduled", "Retrying", "Failed", "ActivityCancelled", "StopRequested"}
    assert seen >= {"Claimed", "Ignored", "Warned", "CancelRequested", "cause:retry", "cause:schedule", "cause:lost"}
    assert seen >= {"COMPLETED", "ERRORED", "CANCELLED"}
