import asyncio

from runner.executor.pulse import Pulse


async def test_a_loop_that_runs_has_not_stood_still():
    pulse = Pulse(5.0)
    running = asyncio.create_task(pulse.run())
    await asyncio.sleep(0)
    assert not pulse.stood_still()
    running.cancel()


async def test_after_a_stand_still_there_is_doubt_for_a_while(monkeypatch):
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    pulse = Pulse(3.0)
    assert not pulse.stood_still()
    now += 3.5
    assert pulse.stood_still()
    for _ in range(3):
        now += 1.5
        assert pulse.stood_still()
    now += 2.0
    assert not pulse.stood_still()
