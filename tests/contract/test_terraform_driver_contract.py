"""One suite for every driver: the embedded library, an executable that is always there, and whatever is on PATH."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import terraform_shim

from processors.terraform import commands
from processors.terraform.binary import BinaryDriver
from processors.terraform.driver import Command, FileValue, Place
from processors.terraform.embedded import EmbeddedDriver
from processors.terraform.embedded.driver import library_path
from processors.terraform.literals import assignments
from processors.terraform.memory import MemoryFile
from processors.terraform.workspace import is_alive
from runner.errors import Fatal

_REAL = [name for name in ("terraform", "tofu") if shutil.which(name)]
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "CHECKPOINT_DISABLE": "1"}


@pytest.fixture(params=["embedded", "shim", *_REAL])
async def driver(request, tmp_path):
    if request.param == "embedded":
        made = EmbeddedDriver()
    elif request.param == "shim":
        (tmp_path / "bin").mkdir()
        made = BinaryDriver(terraform_shim.install(tmp_path / "bin", library_path()))
    else:
        made = BinaryDriver(Path(shutil.which(request.param)))
    yield made
    await made.close()


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "configuration"
    folder.mkdir()
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield Place(folder, ENVIRONMENT, lock)
    os.close(lock)


def _write(place, text):
    (place.directory / "main.tf").write_text(text)


def _sleeper(seconds, after="a"):
    return f"""
    resource "terraform_data" "first" {{ input = "{after}" }}
    resource "terraform_data" "slow" {{
      depends_on = [terraform_data.first]
      provisioner "local-exec" {{ command = "exec sleep {seconds}" }}
    }}
    resource "terraform_data" "last" {{ input = terraform_data.slow.id }}
    """


async def _planned(driver, place, **options):
    assert (await driver.run(commands.init(), place)).exit_code == 0
    plan = MemoryFile("plan")
    outcome = await driver.run(commands.plan(plan, **options), place)
    assert outcome.exit_code in {0, 2}, outcome
    return plan


def _state(place):
    return json.loads((place.directory / "terraform.tfstate").read_text())


async def test_it_says_what_it_is(driver):
    versions = await driver.versions(ENVIRONMENT)
    assert versions.version.split(".")[0] == "1"
    assert versions.product in {"terraform", "tofu"}


async def test_a_plan_in_memory_is_applied_and_its_outputs_read(driver, place):
    _write(
        place,
        'resource "terraform_data" "a" { input = { x = [1, "${"$"}{b}"] } }\noutput "o" { value = terraform_data.a.output }',
    )
    plan = await _planned(driver, place)
    shown = json.loads((await driver.run(commands.show(plan), place)).stdout)
    assert shown["resource_changes"][0]["change"]["actions"] == ["create"]
    events = []
    assert (await driver.run(commands.apply(plan), place, on_event=events.append)).exit_code == 0
    assert "apply_complete" in [event.get("type") for event in events]
    outputs = json.loads((await driver.run(commands.output(), place)).stdout)
    assert outputs["o"]["value"] == {"x": [1, "${b}"]}
    plan.close()


async def test_a_plan_without_changes_has_exit_code_0_and_one_with_changes_2(driver, place):
    _write(place, "")
    await driver.run(commands.init(), place)
    with MemoryFile("plan") as plan:
        assert (await driver.run(commands.plan(plan), place)).exit_code == 0
        _write(place, 'resource "terraform_data" "a" {}')
        assert (await driver.run(commands.plan(plan), place)).exit_code == 2


@pytest.mark.parametrize(
    "value",
    [
        '${file("/etc/passwd")}',
        "%{ if true }x%{ endif }",
        "$${a}",
        "$$${a}",
        'a"b\\c\n\t\r',
        "😀",
        "x" * 100_000,
        {"a b": [1, None, {"${x}": 1.5}]},
    ],
)
async def test_a_secret_in_a_memory_file_arrives_as_it_is(driver, place, value):
    _write(place, 'variable "v" { type = any }\noutput "o" { value = var.v }')
    with MemoryFile("variables", assignments({"v": value})) as variables:
        plan = await _planned(driver, place, var_files=[FileValue(variables)])
    await driver.run(commands.apply(plan), place)
    assert json.loads((await driver.run(commands.output(), place)).stdout)["o"]["value"] == value
    plan.close()


async def test_diagnostics_name_file_and_line(driver, place):
    _write(place, '\n\noutput "o" { value = nothing.here }')
    await driver.run(commands.init(), place)
    with MemoryFile("plan") as plan:
        outcome = await driver.run(commands.plan(plan), place)
    assert outcome.exit_code == 1
    [error] = outcome.errors
    assert (error.file, error.line) == ("main.tf", 3)
    assert "nothing" in error.snippet
    assert "nothing.here" not in outcome.stdout


async def test_events_come_while_the_command_runs(driver, place):
    _write(place, _sleeper(30))
    plan = await _planned(driver, place)
    stop, seen = asyncio.Event(), []

    def on_event(event):
        seen.append(event)
        if event.get("type") == "provision_start":
            stop.set()

    begin = time.monotonic()
    outcome = await driver.run(commands.apply(plan), place, on_event=on_event, stop=stop)
    assert time.monotonic() - begin < 20
    assert outcome.exit_code == 1
    plan.close()


async def test_an_interrupt_saves_the_state_and_begins_nothing_new(driver, place):
    _write(place, _sleeper(30))
    plan = await _planned(driver, place)
    stop = asyncio.Event()

    def on_event(event):
        if event.get("type") == "provision_start":
            stop.set()

    outcome = await driver.run(commands.apply(plan), place, on_event=on_event, stop=stop)
    assert outcome.exit_code == 1
    assert not outcome.died
    names = {each["name"] for each in _state(place)["resources"]}
    assert names == {"first", "slow"}
    plan.close()


async def test_what_ignores_the_interrupt_is_killed_after_the_grace(driver, place):
    stop, silent, writers = asyncio.Event(), False, []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writers.append(writer)
        if silent:
            stop.set()  # Terraform waits for an answer that never comes.
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _write(place, f'terraform {{\n backend "http" {{ address = "http://127.0.0.1:{port}" }}\n}}')
    assert (await driver.run(commands.init(), place)).exit_code == 0
    silent = True
    begin = time.monotonic()
    outcome = await driver.run(commands.state_pull(), place, stop=stop, grace_seconds=0.3)
    assert time.monotonic() - begin < 20
    assert outcome.died
    assert outcome.exit_code == -signal.SIGKILL
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    (place.directory / "main.tf").unlink()
    shutil.rmtree(place.directory / ".terraform")


async def test_it_works_on_after_a_kill(driver, place):
    await test_what_ignores_the_interrupt_is_killed_after_the_grace(driver, place)
    assert (await driver.run(commands.init(), place)).exit_code == 0


async def test_two_workspaces_run_at_the_same_time(driver, place, tmp_path):
    other = Place(tmp_path / "other", ENVIRONMENT, place.lock)
    other.directory.mkdir()
    plans = []
    for each in (place, other):
        # Each waits for a file that only the other makes.
        mine, theirs = each.directory / "here", (other if each is place else place).directory / "here"
        _write(
            each,
            f'resource "terraform_data" "a" {{\n provisioner "local-exec" {{ command = '
            f'"touch {mine}; n=0; until [ -e {theirs} ]; do n=$((n+1)); [ $n -lt 200 ] || exit 1; sleep 0.05; done" }}\n}}',
        )
        plans.append(await _planned(driver, each))
    outcomes = await asyncio.gather(
        *(driver.run(commands.apply(plan), each) for plan, each in zip(plans, (place, other), strict=True))
    )
    assert [outcome.exit_code for outcome in outcomes] == [0, 0]


async def test_a_cancelled_caller_leaves_terraform_to_finish(driver, place):
    _write(place, _sleeper(30))
    plan = await _planned(driver, place)
    started = asyncio.Event()

    def on_event(event):
        if event.get("type") == "provision_start":
            started.set()

    task = asyncio.create_task(driver.run(commands.apply(plan), place, on_event=on_event))
    await asyncio.wait_for(started.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await driver.close()  # Waits for what it had let go of.
    assert {each["name"] for each in _state(place)["resources"]} == {"first", "slow"}


def _gated(place, command="true"):
    gate = place.directory / "gate"
    _write(
        place,
        f'resource "terraform_data" "a" {{\n provisioner "local-exec" {{ command = '
        f'"{command}; until [ -e {gate} ]; do sleep 0.02; done" }}\n}}',
    )
    return gate


def _is_free(place):
    descriptor = os.open(place.directory.parent / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


async def test_the_lock_is_held_until_the_command_has_ended_though_the_agent_lets_go(driver, place):
    gate = _gated(place)
    plan = await _planned(driver, place)
    held = os.dup(place.lock)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.close(held)
    os.close(place.lock)
    mine = os.open(place.directory.parent / "lock", os.O_RDWR)
    fcntl.flock(mine, fcntl.LOCK_EX)
    started = asyncio.Event()

    def on_event(event):
        if event.get("type") == "provision_start":
            started.set()

    running = asyncio.create_task(
        driver.run(commands.apply(plan), Place(place.directory, ENVIRONMENT, mine), on_event=on_event)
    )
    await asyncio.wait_for(started.wait(), 20)
    os.close(mine)
    assert not _is_free(place)
    gate.touch()
    assert (await running).exit_code == 0
    assert _is_free(place)
    os.dup2(os.open(os.devnull, os.O_RDONLY), place.lock)  # For the fixture to close.


def _open_files(pid):
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]


async def test_a_daemon_that_terraform_leaves_behind_holds_neither_lock_nor_plan(driver, place, tmp_path):
    gate = _gated(place, f"sleep 20 >/dev/null 2>&1 & echo $! > {tmp_path}/daemon")
    gate.touch()
    plan = await _planned(driver, place)
    fcntl.flock(place.lock, fcntl.LOCK_EX)
    begin = time.monotonic()
    assert (await driver.run(commands.apply(plan), place)).exit_code == 0
    fcntl.flock(place.lock, fcntl.LOCK_UN)
    daemon = int((tmp_path / "daemon").read_text())
    try:
        held = _open_files(daemon)
        assert not [path for path in held if "memfd" in path or path.endswith("lock")]
        assert _is_free(place)
        assert time.monotonic() - begin < 10
    finally:
        os.kill(daemon, signal.SIGKILL)
    plan.close()


def _supervisors():
    children = [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    return [int(pid) for pid in children if b"supervision/worker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_a_killed_supervisor_is_an_outcome_and_terraform_is_not_left_running(driver, place):
    _write(place, _sleeper(30))
    plan = await _planned(driver, place)

    def on_event(event):
        if event.get("type") == "provision_start":
            for pid in _supervisors():
                os.kill(pid, signal.SIGKILL)

    outcome = await driver.run(commands.apply(plan), place, on_event=on_event)
    assert outcome.died
    if isinstance(driver, BinaryDriver):
        # The kernel interrupted it: it saves its state and ends; until then the lock file shows that it lives.
        async with asyncio.timeout(20):
            while is_alive(os.pread(place.lock, 100, 0)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        assert {each["name"] for each in _state(place)["resources"]} == {"first", "slow"}
    assert (await driver.run(commands.init(), place)).exit_code == 0
    plan.close()


async def test_an_unknown_option_is_an_outcome_not_an_exception(driver, place):
    outcome = await driver.run(Command("plan", {"nonsense": True}), place)
    assert outcome.exit_code != 0
    assert "nonsense" in outcome.stderr + outcome.stdout


async def test_an_executable_that_is_none_is_a_clear_error(tmp_path, place):
    script = tmp_path / "terraform"
    script.write_text("no program at all")
    script.chmod(0o755)
    driver = BinaryDriver(script)
    with pytest.raises(Fatal, match=r"config\.binary|Exec format"):
        await driver.run(commands.init(), place)
    await driver.close()


def test_both_build_the_same_arguments():
    from processors.terraform.binary.arguments import build as build_binary  # noqa: PLC0415
    from processors.terraform.embedded.arguments import build as build_embedded  # noqa: PLC0415

    with MemoryFile("plan") as plan, MemoryFile("variables") as variables:
        for command in (
            commands.init(lock_timeout="30s"),
            commands.plan(
                plan,
                destroy=True,
                var_files=["a.tfvars", FileValue(variables)],
                targets=['x.y["z"]', "b"],
                parallelism=3,
            ),
            commands.apply(plan),
            commands.show(plan),
            commands.output(),
            commands.state_pull(),
            commands.state_push(plan),
            commands.force_unlock("id-1"),
        ):
            embedded, files = build_embedded(command)
            binary, binary_files = build_binary(command, "terraform")
            assert binary == ["terraform", *embedded]
            assert binary_files == files
