"""Processors of a third party, found through the entry-point group by the installed command."""

import json
import signal

import pytest
from sandbox import Sandbox, wait_until

SOURCE = """
import os, signal, subprocess, sys, time
from datetime import timedelta
from pathlib import Path
from runner.activity import ActivityResult


class Plain:
    def process(self, context):
        seen = context.value("seen") or []
        if len(seen) < 2:
            context.set_value("seen", [*seen, context.attempt])
            return ActivityResult.schedule(timedelta(milliseconds=50)) if not seen else ActivityResult.retry("not yet")
        context.progress("counting " + context.inputs["word"])
        context.set_output_value("length", len(context.inputs["word"]))
        return ActivityResult.complete()


class Async:
    async def process(self, context):
        context.set_output_value("shout", context.inputs["word"].upper() + "!" * context.inputs["times"])
        return ActivityResult.complete()


class Raising:
    def process(self, context):
        raise LookupError("no such shelf: " + context.inputs["word"])


class Killed:
    def process(self, context):
        script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)" if context.attempt < 3 else "print(7)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        if done.returncode < 0:
            return ActivityResult.retry(f"killed by signal {-done.returncode}")
        context.set_output_value("printed", int(done.stdout))
        return ActivityResult.complete()


class Stubborn:
    def process(self, context):
        Path(context.inputs["word"]).touch()
        time.sleep(40)
        return ActivityResult.complete()


def plain(environment): return Plain()
def asynchronous(environment): return Async()
def raising(environment): return Raising()
def killed(environment): return Killed()
def stubborn(environment): return Stubborn()
def unmade(environment): raise RuntimeError("not today")
"""
NAMES = {"plain": "plain", "async": "asynchronous", "raising": "raising", "killed": "killed", "stubborn": "stubborn", "unmade": "unmade", "absent": "gone"}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("processors"))
    packages = sandbox.folder / "packages"
    information = packages / "third_party-1.0.dist-info"
    information.mkdir(parents=True)
    (packages / "third_party.py").write_text(SOURCE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    lines = [f"third.{name} = third_party:{function}" for name, function in NAMES.items()]
    (information / "entry_points.txt").write_text("\n".join(["[tierform.processors]", *lines]) + "\n")
    sandbox.environment["PYTHONPATH"] = str(packages)
    retry = {"maxAttempts": 4, "initialIntervalMillis": 50}
    types = [{"type": name, "provider": f"third.{name}", "retry": retry} for name in NAMES]
    types.append({"type": "unknown", "provider": "third.nobody"})
    sandbox.define(*types)
    yield sandbox
    try:
        sandbox.assert_nothing_left()
    finally:
        sandbox.end()


def _definition(place: Sandbox, *activities: dict) -> str:
    path = place.folder / "definition.json"
    path.write_text(json.dumps({"type": "try", "active": True, "schema": {}, "activities": activities}))
    return str(path)


def test_plain_and_async_processors_poll_retry_and_hand_outputs_on(place):
    first = {"id": "first", "type": "plain", "inputs": ["word"]}
    killed = {"id": "killed", "type": "killed"}
    last = {
        "id": "last",
        "type": "async",
        "dependsOn": "first",
        "inputs": ["word", {"source": "first.length", "target": "times"}],
    }
    ended = place.run("run", _definition(place, first, killed, last), "-i", "word=abc", "-o", "json")
    assert ended.code == 0, ended
    assert ended.json["outputData"] == {"length": 3, "printed": 7, "shout": "ABC!!!"}
    assert "counting abc" in ended.stderr
    assert "will be tried again: killed by signal 9" in ended.stderr


def test_each_way_to_fail_is_told(place):
    activities = [{"id": name, "type": name, "inputs": ["word"]} for name in ("raising", "unmade", "absent", "unknown")]
    ended = place.run("run", _definition(place, *activities), "-i", "word=x")
    assert (ended.code, ended.stdout) == (1, ""), ended
    assert "LookupError: no such shelf: x" in ended.stderr
    assert "not today" in ended.stderr
    assert "third_party:gone" in ended.stderr
    assert "'third.nobody'" in ended.stderr
    assert "install the package that provides it" in ended.stderr


def test_a_second_interrupt_ends_at_once_what_does_not_listen(place):
    mark = place.folder / "mark"
    running = place.start(
        "run", _definition(place, {"id": "x", "type": "stubborn", "inputs": ["word"]}), "-i", f"word={mark}"
    )
    wait_until(mark.exists)
    running.send(signal.SIGINT)
    running.until("once more ends at once")
    assert running.process.poll() is None
    running.send(signal.SIGINT)
    ended = running.ended(5)
    assert ended.code == 130, ended
    assert "go on with the same command and --id" in ended.stderr


def test_doctor_lists_them(place):
    assert "third.plain" in place.run("doctor").stdout
