import asyncio
import multiprocessing
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.activity import Modules
from runner.errors import InvalidUsage, TierformError, UnknownThing
from runner.messaging.memory import MemoryBus
from runner.messaging.ports import Blobs
from runner.project import ModuleStore


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "main.tf").write_text("a")
    (folder / "sub" / "b.tf").write_text("b")
    return folder


class CountedBlobs:
    """Blobs on a bus in memory, counting how often one is fetched."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self._blobs: Blobs = self.bus.connect().blobs
        self.gets = 0
        self.put = self._blobs.put
        self.has = self._blobs.has

    async def get(self, digest: str) -> bytes:
        self.gets += 1
        return await self._blobs.get(digest)


@pytest.fixture
def blobs() -> CountedBlobs:
    return CountedBlobs()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


WHOLE = {"main.tf": "a", "sub/b.tf": "b"}


async def test_a_published_module_is_given_back_and_fetched_once(module, blobs, cache):
    store: Modules = ModuleStore(blobs, cache)
    digest = await ModuleStore(blobs, cache).publish(module)
    assert contents(await store.folder(digest)) == WHOLE
    assert await store.folder(digest) == await ModuleStore(blobs, cache).folder(digest)
    assert blobs.gets == 1
    assert not list(cache.rglob(".new-*"))


async def test_publishing_again_gives_the_same_digest(module, blobs, cache):
    store = ModuleStore(blobs, cache)
    first = await store.publish(module)
    assert await store.publish(module) == first
    (module / "main.tf").write_text("changed")
    assert await store.publish(module) != first


async def test_many_at_once_fetch_once(module, blobs, cache):
    store = ModuleStore(blobs, cache)
    digest = await store.publish(module)
    folders = await asyncio.gather(*(store.folder(digest) for _ in range(10)))
    assert len(set(folders)) == 1
    assert blobs.gets == 1


def _damage_by_change(folder: Path) -> None:
    (folder / "main.tf").chmod(0o644)
    (folder / "main.tf").write_text("evil")


def _damage_by_cut(folder: Path) -> None:
    (folder / "main.tf").chmod(0o644)
    (folder / "main.tf").write_text("")


def _damage_by_mode(folder: Path) -> None:
    (folder / "main.tf").chmod(0o555)


def _damage_by_removal(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "main.tf").unlink()


def _damage_by_addition(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "evil.tf").write_text("")


def _damage_by_link(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "link").symlink_to("/etc")


def _damage_the_listing(folder: Path) -> None:
    (folder.parent / "files.json").write_text("{")


def _remove_the_listing(folder: Path) -> None:
    (folder.parent / "files.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _damage_by_change,
        _damage_by_cut,
        _damage_by_mode,
        _damage_by_removal,
        _damage_by_addition,
        _damage_by_link,
        _damage_the_listing,
        _remove_the_listing,
    ],
)
async def test_a_damaged_cache_is_never_used(module, blobs, cache, damage):
    digest = await ModuleStore(blobs, cache).publish(module)
    folder = await ModuleStore(blobs, cache).folder(digest)
    damage(folder)
    again = await ModuleStore(blobs, cache).folder(digest)
    assert contents(again) == WHOLE
    assert not any(path.is_symlink() for path in again.rglob("*"))
    assert blobs.gets == 2


async def test_what_a_killed_process_left_is_removed(module, blobs, cache):
    digest = await ModuleStore(blobs, cache).publish(module)
    (cache / "modules" / ".new-1" / "module").mkdir(parents=True)
    (cache / "modules" / f"sha256-{digest[7:]}").write_text("a file in its place")
    assert contents(await ModuleStore(blobs, cache).folder(digest)) == WHOLE
    assert not list(cache.rglob(".new-*"))


async def test_a_cache_that_was_removed_is_filled_again(module, blobs, cache):
    store = ModuleStore(blobs, cache)
    digest = await store.publish(module)
    folder = await store.folder(digest)
    folder.parent.rename(cache / "gone")
    assert contents(await store.folder(digest)) == WHOLE


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_takes_no_more_leaves_nothing_half_written(module, blobs, cache):
    (module / "main.tf").write_text("x" * 5000)
    store = ModuleStore(blobs, cache)
    digest = await store.publish(module)
    with room_for(1000), pytest.raises(TierformError, match=r"unpacking .*file too large"):
        await store.folder(digest)
    assert [path.name for path in (cache / "modules").iterdir()] == [".lock"]
    assert len(contents(await store.folder(digest))["main.tf"]) == 5000


async def test_a_cache_folder_that_can_t_be_is_explained(module, blobs, tmp_path):
    (tmp_path / "file").write_text("")
    store = ModuleStore(blobs, tmp_path / "file")
    with pytest.raises(InvalidUsage, match="not a directory"):
        await store.folder(await store.publish(module))


@pytest.mark.parametrize("digest", ["", "sha256:../../etc", "sha256:" + "A" * 64, "md5:" + "0" * 64])
async def test_what_is_no_digest_is_unknown(blobs, cache, digest):
    with pytest.raises(UnknownThing, match="not a digest"):
        await ModuleStore(blobs, cache).folder(digest)


async def test_a_module_nobody_published_is_unknown(blobs, cache):
    with pytest.raises(UnknownThing):
        await ModuleStore(blobs, cache).folder("sha256:" + "0" * 64)


async def test_a_blob_that_was_altered_is_unknown(module, blobs, cache):
    digest = await ModuleStore(blobs, cache).publish(module)
    blobs.bus.blobs[digest] += b"\0"
    with pytest.raises(UnknownThing, match="altered"):
        await ModuleStore(blobs, cache).folder(digest)


def _folder_in_process(data: bytes, cache: Path, barrier, results) -> None:
    async def fill() -> Path:
        blobs = MemoryBus().connect().blobs
        return await ModuleStore(blobs, cache).folder(await blobs.put(data))

    barrier.wait(20)
    results.put(contents(asyncio.run(fill())))


async def test_processes_at_the_same_time_all_get_the_whole_module(module, blobs, cache):
    digest = await ModuleStore(blobs, cache).publish(module)
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(4), spawn.Queue()
    processes = [
        spawn.Process(target=_folder_in_process, args=(blobs.bus.blobs[digest], cache, barrier, results))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    answers = [await asyncio.to_thread(results.get, timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    assert answers == [WHOLE] * 4
    assert len(list((cache / "modules").glob("sha256-*"))) == 1
