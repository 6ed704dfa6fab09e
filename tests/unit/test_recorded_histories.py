"""What earlier versions stored: it folds to what it folded to then, and the present engine takes it to its end."""

import asyncio

import pytest
from histories import FOLDER, SCENARIOS, bus_with, load, play

from runner.engine.record import fold
from runner.interpreter.orchestrations import Orchestrations
from runner.protocol.subjects import Subjects

NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl") if not path.stem.endswith(".states"))


def test_every_scenario_has_been_recorded():
    assert sorted(scenario.name for scenario in SCENARIOS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_log_folds_to_the_recorded_state_at_every_record(name):
    recorded = load(name)
    assert len(recorded.states) == len(recorded.records)
    for number, state in enumerate(recorded.states, start=1):
        assert fold(recorded.records[:number]) == state, f"record {number}"


@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_log_is_read_as_the_recorded_state_at_every_record(name):
    recorded = load(name)
    for number, state in enumerate(recorded.states, start=1):
        messaging = bus_with(recorded.entries[:number]).connect()
        loaded = await Orchestrations(messaging, Subjects(), "test").load(name)
        assert loaded.orchestration == state
        assert loaded.number == recorded.records[number - 1].number


def ending(state):
    """What does not depend on how often agents died."""
    return (state.state, state.generation, state.output, state.values, state.error, state.undone, state.not_undone)


@pytest.mark.parametrize("name", NAMES)
async def test_the_present_engine_continues_a_recorded_orchestration_from_every_record_to_the_same_end(name):
    recorded = load(name)
    prefixes = range(1, len(recorded.entries))
    chosen = [number for number in prefixes if number <= 12 or number % 8 == 0]
    ends = await asyncio.gather(
        *(play(recorded.scenario, recorded.plan, bus_with(recorded.entries[:number]), name) for number in chosen)
    )
    for number, end in zip(chosen, ends, strict=True):
        assert ending(end) == ending(recorded.states[-1]), f"continued after record {number}"
