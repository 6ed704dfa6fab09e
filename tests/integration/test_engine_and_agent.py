"""Engine and agent together over the memory bus: what a processor's answers lead to."""

import asyncio
from datetime import timedelta

import pytest

from runner.activity import ActivityResult, StopReason
from runner.engine.plan import Plan, PlannedActivity, RetryRule
from runner.engine.state import OrchestrationState, Status
from runner.errors import Fatal, Unreachable
from runner.executor.settings import AgentSettings
from runner.testing.environment import Environment

QUICK = RetryRule(max_attempts=3, initial_millis=5, max_interval_millis=10)


def diamond(**options):
    def act(name, *needs, **more):
        return PlannedActivity(
            id=name, type=f"{name}.example.com", provider="p", depends_on=needs, retry=QUICK, **{**options, **more}
        )

    activities = {a.id: a for a in (act("a"), act("b", "a"), act("c", "a"), act("d", "b", "c", inputs=(("b.n", ""),)))}
    return Plan(digest="x", type="diamond", tiers=(("a",), ("b", "c"), ("d",)), activities=activities)


def single(**options):
    activity = PlannedActivity(id="a", type="a.example.com", provider="p", retry=QUICK, **options)
    return Plan(digest="y", type="single", tiers=(("a",),), activities={"a": activity})


class Scripted:
    """Answers each delivery from a script, one entry per call."""

    def __init__(self, *script):
        self.script = list(script)
        self.seen = []

    async def process(self, context):
        self.seen.append((context.id, context.attempt, context.values(), context.output_values()))
        step = self.script.pop(0)
        if callable(step):
            step = await step(context)
        if isinstance(step, BaseException):
            raise step
        return step


async def test_a_diamond_runs_tier_by_tier_and_hands_outputs_on():
    seen = []

    class Processor:
        def process(self, context):
            seen.append((context.id, dict(context.inputs)))
            context.set_output_value("n", context.id)
            return ActivityResult.complete()

    async with Environment([diamond()], {"p": Processor()}).running() as env:
        state = await env.run("diamond", {"x": 1})
    assert state.state is OrchestrationState.COMPLETED
    assert seen[0][0] == "a"
    assert seen[-1] == ("d", {"n": "b"})


async def test_many_orchestrations_share_engines_and_agents():
    class Processor:
        async def process(self, context):
            return ActivityResult.complete()

    async with Environment([diamond()], {"p": Processor()}).running(engines=2, agents=3) as env:
        ids = [await env.start("diamond") for _ in range(50)]
        states = [await env.until(oid, lambda s: s.is_terminal) for oid in ids]
    assert {state.state for state in states} == {OrchestrationState.COMPLETED}


async def test_what_was_set_is_visible_to_the_next_attempt_after_schedule_and_retry():
    async def first(context):
        context.set_value("k", 1)
        context.set_output_value("o", 1)
        return ActivityResult.schedule(timedelta(0))

    async def second(context):
        context.set_value("l", 2)
        return ActivityResult.retry("again")

    processor = Scripted(first, second, ActivityResult.complete())
    async with Environment([single()], {"p": processor}).running() as env:
        state = await env.run("single")
    assert state.state is OrchestrationState.COMPLETED
    assert processor.seen[1][2:] == ({"k": 1}, {"o": 1})
    assert processor.seen[2][1:] == (2, {"k": 1, "l": 2}, {"o": 1})
    assert state.values == {"k": 1, "l": 2}
    assert state.output == {"o": 1}


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (ValueError("no such zone"), "ValueError: no such zone"),
        (Fatal("cannot be"), "cannot be"),
        ("nonsense", "returned str instead of an ActivityResult"),
    ],
)
async def test_a_processor_that_raises_is_a_fatal_error_with_its_message(step, words):
    async with Environment([single()], {"p": Scripted(step)}).running() as env:
        state = await env.run("single")
    assert state.state is OrchestrationState.ERRORED
    assert words in state.error


async def test_a_passing_error_of_the_tree_is_retried():
    processor = Scripted(Unreachable("store"), ActivityResult.complete())
    async with Environment([single()], {"p": processor}).running() as env:
        state = await env.run("single")
    assert state.state is OrchestrationState.COMPLETED
    assert state.activities["a"].attempt == 2


async def test_a_missing_processor_is_a_fatal_error_that_names_those_there_are():
    async with Environment([single()], {"other": Scripted()}).running() as env:
        state = await env.run("single")
    assert "provider 'p'" in state.error
    assert "other" in state.error


async def test_outputs_that_are_not_json_are_a_fatal_error():
    async def step(context):
        context.set_output_value("o", object())
        return ActivityResult.complete()

    async with Environment([single()], {"p": Scripted(step)}).running() as env:
        state = await env.run("single")
    assert "not JSON" in state.error


async def test_inputs_that_violate_the_input_schema_never_reach_the_processor():
    plan = single(input_schema={"type": "object", "required": ["zone"]}, inputs=(("region", ""),))
    processor = Scripted()
    async with Environment([plan], {"p": processor}).running() as env:
        state = await env.run("single", {"region": "eu"})
    assert "zone" in state.error
    assert processor.seen == []


async def test_cancel_reaches_the_running_processor_and_ends_cancelled():
    started = asyncio.Event()
    reasons = []

    async def step(context):
        started.set()
        reasons.append(await context.stopping.wait())
        return ActivityResult.retry("interrupted")

    async with Environment([single()], {"p": Scripted(step)}).running() as env:
        oid = await env.start("single")
        await asyncio.wait_for(started.wait(), 10)
        await env.cancel(oid)
        state = await env.until(oid, lambda s: s.is_terminal)
    assert reasons == [StopReason.CANCEL]
    assert state.state is OrchestrationState.CANCELLED


async def test_an_attempt_that_times_out_is_retried():
    async def hang(context):
        await context.stopping.wait()
        return ActivityResult.retry("stopped")

    processor = Scripted(hang, ActivityResult.complete())
    async with Environment([single(timeout_millis=50)], {"p": processor}).running() as env:
        state = await env.run("single")
    assert state.state is OrchestrationState.COMPLETED
    assert state.activities["a"].attempt == 2


async def test_a_processor_that_ignores_its_timeout_is_abandoned_and_retried():
    async def deaf(context):
        await asyncio.Event().wait()

    settings = AgentSettings(stop_grace=timedelta(milliseconds=30))
    processor = Scripted(deaf, ActivityResult.complete())
    plan = single(timeout_millis=20)
    async with Environment([plan], {"p": processor}, agent_settings=settings).running() as env:
        state = await env.run("single")
    assert state.state is OrchestrationState.COMPLETED


async def test_a_wait_ends_by_cancel():
    async with Environment([single()], {"p": Scripted(ActivityResult.wait())}).running() as env:
        oid = await env.start("single")
        await env.until(oid, lambda s: "a" in s.activities and s.activities["a"].status is Status.WAITING)
        await env.cancel(oid)
        state = await env.until(oid, lambda s: s.is_terminal)
    assert state.state is OrchestrationState.CANCELLED


async def test_an_agent_that_dies_is_replaced_and_its_late_report_changes_nothing():
    settings = AgentSettings(ack_wait=timedelta(milliseconds=150))
    first_began = asyncio.Event()

    async def first(context):
        first_began.set()
        await asyncio.Event().wait()

    async def second(context):
        context.set_output_value("by", context.details.delivery)
        return ActivityResult.complete()

    env = Environment([single()], {"p": Scripted(first, second)}, agent_settings=settings)
    engine = asyncio.create_task(env.run_engine("e"))
    doomed = asyncio.create_task(env.run_agent("doomed"))
    oid = await env.start("single")
    await asyncio.wait_for(first_began.wait(), 10)
    doomed.cancel()
    heir = asyncio.create_task(env.run_agent("heir"))
    state = await env.until(oid, lambda s: s.is_terminal)
    for task in (engine, heir):
        task.cancel()
    await asyncio.gather(engine, heir, doomed, return_exceptions=True)
    assert state.output == {"by": 2}
    assert state.activities["a"].agent == "heir"


async def test_an_engine_that_takes_over_finishes_what_another_began():
    gate = asyncio.Event()

    async def slow(context):
        await gate.wait()
        return ActivityResult.complete()

    class Processor:
        async def process(self, context):
            return await slow(context) if context.id == "a" else ActivityResult.complete()

    env = Environment([diamond()], {"p": Processor()})
    first = asyncio.create_task(env.run_engine("first"))
    agent = asyncio.create_task(env.run_agent("agent"))
    oid = await env.start("diamond")
    await env.until(oid, lambda s: "a" in s.activities)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gate.set()
    second = asyncio.create_task(env.run_engine("second"))
    state = await env.until(oid, lambda s: s.is_terminal)
    for task in (second, agent):
        task.cancel()
    await asyncio.gather(second, agent, return_exceptions=True)
    assert state.state is OrchestrationState.COMPLETED
