"""Values beyond the bus's limit, wide tiers, long chains."""

from itertools import pairwise

import pytest

from runner.activity import ActivityResult
from runner.engine.plan import Plan, PlannedActivity
from runner.engine.state import OrchestrationState
from runner.messaging.large import MOST_BYTES
from runner.testing.environment import Environment

MIB = 1024 * 1024


def plan(*tiers, needs=None, inputs=()):
    activities = {
        name: PlannedActivity(
            id=name, type="t.example.com", provider="p", depends_on=(needs or {}).get(name, ()), inputs=inputs
        )
        for tier in tiers
        for name in tier
    }
    return Plan(digest="x", type="large", tiers=tiers, activities=activities)


class Producer:
    """The first activity makes a large output, the second receives it."""

    def __init__(self, size):
        self.size = size
        self.received = 0

    async def process(self, context):
        if context.id == "a":
            context.set_output_value("blob", "x" * self.size)
        else:
            self.received = len(context.inputs["blob"]) + len(context.inputs["seed"])
            context.set_value("done", "y" * 1000)
        return ActivityResult.complete()


async def test_values_beyond_the_message_limit_flow_from_manifest_to_output():
    flow = plan(("a",), ("b",), needs={"b": ("a",)}, inputs=(("seed", ""), ("a.blob", "")))
    producer = Producer(10 * MIB)
    async with Environment([flow], {"p": producer}).running() as env:
        state = await env.run("large", {"seed": "s" * (2 * MIB)})
    assert state.state is OrchestrationState.COMPLETED
    assert producer.received == 12 * MIB
    assert len(state.output["blob"]) == 10 * MIB


@pytest.mark.parametrize("size", [MOST_BYTES - MIB, MOST_BYTES + MIB])
async def test_more_than_the_limit_is_a_fatal_error_with_both_sizes(size):
    flow = plan(("a",), ("b",), needs={"b": ("a",)})
    async with Environment([flow], {"p": Producer(size)}).running() as env:
        state = await env.run("large", {"seed": "s" * (2 * MIB)})
    assert state.state is OrchestrationState.ERRORED
    assert "64.0 MiB" in state.error
    assert f"{size // MIB + (2 if size < MOST_BYTES else 0)}.0 MiB" in state.error


class Counting:
    """Completes at once and counts."""

    def __init__(self):
        self.count = 0

    async def process(self, context):
        self.count += 1
        context.set_output_value(context.id, 1)
        return ActivityResult.complete()


async def test_a_tier_of_a_thousand_activities():
    names = tuple(f"a{n}" for n in range(1000))
    processor = Counting()
    async with Environment([plan(names)], {"p": processor}).running() as env:
        state = await env.run("large")
    assert state.state is OrchestrationState.COMPLETED
    assert processor.count == 1000
    assert len(state.output) == 1000


async def test_a_chain_of_a_thousand_tiers():
    names = [f"a{n}" for n in range(1000)]
    needs = {name: (before,) for before, name in pairwise(names)}
    processor = Counting()
    async with Environment([plan(*((name,) for name in names), needs=needs)], {"p": processor}).running() as env:
        oid = await env.start("large")
        state = await env.until(oid, lambda s: s.is_terminal, seconds=40)
    assert state.state is OrchestrationState.COMPLETED
    assert processor.count == 1000
