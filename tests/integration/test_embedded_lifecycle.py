"""One server per data folder, for exactly as long as somebody holds it."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nats_server import is_alive

from runner.embedded import attach, hold, status, stop
from runner.embedded.folder import clear_errors
from runner.errors import InvalidUsage, NewerData, Refused, Unreachable
from runner.messaging.jetstream import JetStreamSettings, connect
from runner.testing.contracts.messaging import until

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import asyncio, sys
from pathlib import Path
from runner.embedded import attach
async def main():
    endpoint = await attach(Path(sys.argv[1]))
    print(endpoint.supervisor_pid, endpoint.server_pid, flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


class Holder:
    """Another process that attaches and waits."""

    def __init__(self, process):
        self._process = process
        self.pids: tuple[int, ...] = ()

    @classmethod
    async def spawn(cls, data_dir):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(data_dir), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        return cls(process)

    async def ready(self):
        line = await self._process.stdout.readline()
        self.pids = tuple(int(pid) for pid in line.split())
        assert len(self.pids) == 2
        return self

    async def kill(self):
        self._process.kill()
        await self._process.wait()

    async def end(self):
        await self._process.communicate(b"")


async def gone(*pids):
    async def all_gone():
        return not any(is_alive(pid) for pid in pids)

    await until(all_gone)


@pytest.fixture
async def data_dir(tmp_path):
    """A data folder; whatever the test leaves running in it is ended, and that none is left is checked."""
    folder = tmp_path / "data"
    yield folder
    await stop(folder)
    await gone(*_pids_of(folder))


def _pids_of(folder):
    """Every process whose command line or working directory names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
            except OSError:
                continue
            if os.fsencode(folder) in text:
                found.append(int(entry.name))
    return found


async def _append(endpoint, data, *, expected):
    messaging = await connect(JetStreamSettings(urls=(endpoint.url,), token=endpoint.token))
    try:
        return await messaging.log.append("tierform.run.a", data, expected=expected)
    finally:
        await messaging.close()


async def _differs(endpoint, pid):
    return endpoint.supervisor_pid != pid


def _shown_of(pid):
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def test_two_attach_to_one_server_that_ends_with_the_last(data_dir):
    first = await attach(data_dir)
    second = await attach(data_dir)
    pids = first.supervisor_pid, first.server_pid
    assert (second.supervisor_pid, second.server_pid, second.url) == (*pids, first.url)
    first.release()
    first.release()
    assert await _append(second, b"one", expected=0) == 1
    assert all(is_alive(pid) for pid in pids)
    second.release()
    await gone(*pids)
    assert not status(data_dir).running


async def test_what_was_stored_is_there_the_next_time_on_the_same_port(data_dir):
    async with await attach(data_dir) as endpoint:
        url, token = endpoint.url, endpoint.token
        sequence = await _append(endpoint, b"one", expected=0)
    async with await attach(data_dir) as endpoint:
        assert (endpoint.url, endpoint.token) == (url, token)
        assert await _append(endpoint, b"two", expected=sequence) > sequence


async def test_the_server_asks_for_its_token(data_dir):
    async with await attach(data_dir) as endpoint:
        with pytest.raises(Refused, match="uthorization"):
            await connect(JetStreamSettings(urls=(endpoint.url,), token="guessed"))


async def test_secrets_are_in_private_files_and_on_no_command_line(data_dir):
    async with await attach(data_dir) as endpoint:
        for pid in (endpoint.supervisor_pid, endpoint.server_pid):
            assert endpoint.token.encode() not in _shown_of(pid)
        holding = [path for path in (data_dir / "nats").iterdir() if path.is_file()]
        assert [oct(path.stat().st_mode & 0o077) for path in holding] == ["0o0"] * len(holding)


async def test_kill_of_the_only_holder_ends_everything(data_dir):
    holder = await (await Holder.spawn(data_dir)).ready()
    await holder.kill()
    async with asyncio.timeout(2):
        await gone(*holder.pids)


async def test_kill_of_the_supervisor_ends_the_server_and_the_next_starts_anew(data_dir):
    first = await attach(data_dir)
    sequence = await _append(first, b"one", expected=0)
    pids = first.supervisor_pid, first.server_pid
    os.kill(pids[0], signal.SIGKILL)
    await gone(pids[0])
    second = await attach(data_dir)
    await gone(*pids)
    assert second.url == first.url
    assert await _append(second, b"two", expected=sequence) > sequence
    first.release()
    second.release()
    await gone(second.supervisor_pid, second.server_pid)


async def test_a_killed_server_is_started_again_and_connections_go_on(data_dir):
    endpoint = await attach(data_dir)
    messaging = await connect(JetStreamSettings(urls=(endpoint.url,), token=endpoint.token))
    sequence = await messaging.log.append("tierform.run.a", b"one", expected=0)
    os.kill(endpoint.server_pid, signal.SIGKILL)
    assert await messaging.log.append("tierform.run.a", b"two", expected=sequence) > sequence
    await messaging.close()
    assert status(data_dir).server_pid != endpoint.server_pid
    endpoint.release()


async def test_a_guard_brings_a_killed_supervisor_back_and_connections_go_on(data_dir):
    endpoint = await attach(data_dir)
    before = endpoint.supervisor_pid
    guard = asyncio.create_task(endpoint.guard())
    messaging = await connect(JetStreamSettings(urls=(endpoint.url,), token=endpoint.token))
    sequence = await messaging.log.append("tierform.run.a", b"one", expected=0)
    os.kill(before, signal.SIGKILL)
    assert await messaging.log.append("tierform.run.a", b"two", expected=sequence) > sequence
    await until(lambda: _differs(endpoint, before))
    guard.cancel()
    await messaging.close()
    endpoint.release()


async def test_eight_processes_at_once_share_one_supervisor(data_dir):
    holders = await asyncio.gather(*(Holder.spawn(data_dir) for _ in range(8)))
    await asyncio.gather(*(holder.ready() for holder in holders))
    assert len({holder.pids for holder in holders}) == 1
    for holder in holders[:4]:
        await holder.kill()
    assert all(is_alive(pid) for pid in holders[0].pids)
    await asyncio.gather(*(holder.end() for holder in holders[4:]))
    await gone(*holders[0].pids)


async def test_coming_and_going_never_meets_a_dying_server(data_dir):
    sequence = 0
    for _ in range(10):
        async with await attach(data_dir) as endpoint:
            sequence = await _append(endpoint, b"again", expected=sequence)
        await asyncio.wait({asyncio.create_task(asyncio.sleep(0.08))})


async def test_stop_ends_a_held_server_and_its_holders_do_not_bring_it_back(data_dir):
    endpoint = await attach(data_dir)
    assert await stop(data_dir) is True
    await gone(endpoint.supervisor_pid, endpoint.server_pid)
    with pytest.raises(Refused, match="was stopped"):
        await endpoint.ensure()
    endpoint.release()
    assert await stop(data_dir) is False


async def test_a_held_server_stays_without_holders_until_stop(data_dir):
    (await hold(data_dir)).release()
    pids = status(data_dir).supervisor_pid, status(data_dir).server_pid
    (await attach(data_dir)).release()
    for _ in range(5):
        await asyncio.wait({asyncio.create_task(asyncio.sleep(0.1))})
        assert all(is_alive(pid) for pid in pids)
    assert status(data_dir).kept
    assert await stop(data_dir) is True
    await gone(*pids)
    assert not status(data_dir).kept


async def test_a_keep_of_an_earlier_boot_counts_no_more(data_dir):
    endpoint = await hold(data_dir)
    (data_dir / "nats" / "keep").write_text("another-boot")
    endpoint.release()
    await gone(endpoint.supervisor_pid, endpoint.server_pid)


async def test_another_port_is_taken_when_ours_is_in_use(data_dir):
    async with await attach(data_dir) as endpoint:
        url, port = endpoint.url, int(endpoint.url.rpartition(":")[2])
        pids = endpoint.supervisor_pid, endpoint.server_pid
    await gone(*pids)
    squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with squatter, await attach(data_dir) as endpoint:
        assert endpoint.url != url
        assert await _append(endpoint, b"one", expected=0) == 1


async def test_the_folder_of_a_newer_version_is_refused_with_what_to_do(data_dir):
    data_dir.mkdir()
    (data_dir / "version.json").write_text(json.dumps({"format": 2, "product": "9.8.7"}))
    with pytest.raises(NewerData, match=r"9\.8\.7") as caught:
        await attach(data_dir)
    assert "9.8.7 or newer" in caught.value.remedy
    assert not status(data_dir).running


async def test_a_damaged_version_file_is_refused(data_dir):
    data_dir.mkdir()
    (data_dir / "version.json").write_text("{")
    with pytest.raises(InvalidUsage, match="damaged"):
        await attach(data_dir)


async def test_a_folder_that_cannot_be_used_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / ("x" * 300), "name too long"),
        (Path("/proc/nowhere"), "No such file"),
    ):
        with pytest.raises(InvalidUsage, match=f"(?i){reason}"):
            await attach(folder)


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, Unreachable, "free some disk"),
        (errno.EROFS, InvalidUsage, "writable"),
        (5, InvalidUsage, "another"),
    ],
)
def test_what_the_file_system_says_is_passed_on_with_a_remedy(tmp_path, number, kind, remedy):
    with pytest.raises(kind, match=os.strerror(number)) as caught, clear_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert remedy in caught.value.remedy


async def test_a_server_that_cannot_start_says_why_in_its_own_words(data_dir):
    (data_dir / "nats").mkdir(parents=True)
    (data_dir / "nats" / "store").write_text("not a folder")
    with pytest.raises(Unreachable, match=r"(?i)store|directory"):
        await attach(data_dir)
    assert not status(data_dir).running


async def test_nothing_runs_in_a_folder_that_was_never_used(tmp_path):
    assert not status(tmp_path / "none").running
    assert await stop(tmp_path / "none") is False
    assert not (tmp_path / "none").exists()
