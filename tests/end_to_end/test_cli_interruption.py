"""Ctrl-C, SIGTERM, kill -9 of any process: the same id again completes, nothing is left behind or done twice."""

import json
import os
import random
import signal
import time
from functools import partial

import pytest
from sandbox import Sandbox, together, wait_until

_MOMENTS = random.Random(7)  # noqa: S311 - moments, not keys
DELAYS = [round(_MOMENTS.uniform(0.2, 2.0), 2) for _ in range(3)]


@pytest.fixture
def place(tmp_path):
    sandbox = Sandbox(tmp_path).notes()
    yield sandbox
    try:
        sandbox.assert_nothing_left()
        sandbox.assert_no_traceback_in_logs()
    finally:
        sandbox.end()


def _resume(place: Sandbox, oid: str) -> None:
    """The same id again completes with the right outputs; what had completed is not done again."""
    done = [name for name, status in place.statuses(oid).items() if status == "completed"]
    made = {name: place.lines().count(f"made {name} {oid}") for name in done}
    ended = place.run("run", "notes.deploy", "--id", oid, "-o", "json")
    assert ended.code == 0, ended
    assert ended.json["outputData"] == {"name": oid, "facts": {"name": oid, "list": [1, "two", {"three": True}]}}
    assert ended.json["completed"].keys() == {"a", "b", "c"}
    for name, count in made.items():
        assert place.lines().count(f"made {name} {oid}") == count == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_stops_terraform_gracefully_and_the_same_id_goes_on(place, number):
    running = place.start("run", "note.deploy", "--id", "paused", *place.inputs("paused", 2))
    wait_until(lambda: "began a paused" in place.lines())
    running.send(number)
    ended = running.ended(10)
    assert (ended.code, ended.stdout) == (130, ""), ended
    assert "interrupted: running activities are stopped gracefully" in ended.stderr
    assert "go on with the same command and --id paused" in ended.stderr
    place.assert_nothing_left()
    assert (place.data / "workspaces/paused-a/terraform.tfstate").exists()
    shown = place.show("paused")
    assert (shown["state"], shown["activities"][0]["attempt"]) == (1, 1)
    resumed = place.run("run", "note.deploy", "--id", "paused", "-o", "json")
    assert resumed.code == 0, resumed
    assert resumed.json["outputData"]["name"] == "paused"
    assert place.lines() == ["began a paused", "began a paused", "made a paused"]


def test_an_interrupt_before_anything_runs_ends_with_130(place):
    running = place.start("run", "note.deploy", *place.inputs("early", 30))
    time.sleep(0.45)  # Any moment will do: modules are being imported, the server starts.
    running.send(signal.SIGINT)
    assert running.ended(10).code in (130, -signal.SIGINT)
    assert place.run("run", "note.deploy", *place.inputs("later")).code == 0


def test_a_run_killed_at_any_moment_goes_on_with_the_same_id(tmp_path):
    together(*(partial(_kill_and_resume, Sandbox(tmp_path / str(seconds)).notes(), seconds) for seconds in DELAYS))


def _kill_and_resume(place: Sandbox, seconds: float) -> None:
    try:
        running = place.start("run", "notes.deploy", "--id", "cut", *place.inputs("cut", 0.4), "-i", "last=0.4")
        time.sleep(seconds)
        os.kill(running.pid, signal.SIGKILL)
        running.process.wait()
        place.assert_nothing_left()
        if "cut" in {one["id"] for one in place.run("list", "-o", "json").json}:
            _resume(place, "cut")
        else:
            assert place.run("run", "notes.deploy", "--id", "cut", *place.inputs("cut")).code == 0
        place.assert_nothing_left()
        place.assert_no_traceback_in_logs()
    finally:
        place.end()


def test_a_run_survives_the_death_of_each_process_around_it(tmp_path):
    victims = ("supervisor.py", "nats-server -c", "worker.py")
    places = [Sandbox(tmp_path / str(number)).notes() for number in range(len(victims))]
    together(*(partial(_survive, place, victim) for place, victim in zip(places, victims, strict=True)))


def _survive(place: Sandbox, victim: str) -> None:
    try:
        options = (*place.inputs("robust", 1), "-i", "last=0.5")
        running = place.start("run", "notes.deploy", "--id", "robust", "-o", "json", *options)
        wait_until(lambda: "began a robust" in place.lines() or "began b robust" in place.lines())
        assert any(victim in text for text in place.processes().values())
        place.kill(victim)
        ended = running.ended()
        assert ended.code == 0, ended
        assert place.lines().count("made c robust") == 1
        _resume(place, "robust")
        place.assert_nothing_left()
        place.assert_no_traceback_in_logs()
    finally:
        place.end()


def test_everything_killed_at_once_goes_on_with_the_same_id(place):
    running = place.start("run", "notes.deploy", "--id", "crash", *place.inputs("crash", 0.4), "-i", "last=20")
    wait_until(lambda: "began c crash" in place.lines())
    place.kill()
    running.process.wait()
    assert place.statuses("crash") == {"a": "completed", "b": "completed", "c": "queued"}
    running = place.start("run", "notes.deploy", "--id", "crash", "-o", "json")
    wait_until(lambda: place.lines().count("began c crash") == 2)
    assert place.lines().count("made a crash") == place.lines().count("made b crash") == 1
    running.send(signal.SIGINT)
    assert running.ended(10).code == 130


def test_a_killed_background_worker_is_replaced_by_the_next_detached_run(place):
    assert place.run("run", "note.deploy", "--detach", "--id", "one", *place.inputs("one", 1)).code == 0
    wait_until(lambda: "began a one" in place.lines())
    place.kill("background")
    place.assert_nothing_left()
    ended = place.run("run", "note.deploy", "--detach", "--timeout", "30s", "--id", "one", "-o", "json")
    assert ended.code == 0, ended
    assert ended.json["state"] == 2
    assert place.run("stop").code == 0


def test_a_detached_run_with_a_timeout_goes_on_after_it(place):
    ended = place.run(
        "run", "note.deploy", "--detach", "--timeout", "1s", "--id", "long", "-o", "json", *place.inputs("long", 2)
    )
    assert ended.code == 4, ended
    assert ended.json["state"] in (0, 1)
    assert place.run("logs", "-f", "long").stdout.rstrip().endswith("completed")
    assert json.loads(place.run("show", "long", "-o", "json").stdout)["state"] == 2
    assert place.run("stop").code == 0
