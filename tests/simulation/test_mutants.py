"""The simulation notices every broken engine: its first seeds are enough."""

import pytest
from simulation.mutants import MUTANTS, play_all

QUICK = 80


@pytest.mark.timeout(240)
def test_every_mutant_of_the_engine_is_caught_by_the_first_seeds():
    survivors = [mutant.name for mutant, (seed, _) in play_all(QUICK).items() if not seed]
    assert not survivors


def test_there_are_ten_mutants_and_more_and_each_breaks_another_rule():
    assert len({mutant.breaks for mutant in MUTANTS}) == len(MUTANTS) >= 10
