"""The file in which all processes count their requests: what is counted when it is lost, locked or damaged, and when a
process dies."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from harness import until
from moving_clock import MovingClock
from store_helpers import posix_only, script

from piv_mcp.api.rate_limit import TOTAL, WINDOW, Priority
from piv_mcp.errors import RateLimitedError
from piv_mcp.store import SqliteStore, accounts, minute, request_file
from piv_mcp.store.files import SIDES, inode_of, side
from piv_mcp.store.rate_limit import SharedLimiter

pytestmark = pytest.mark.sqlite

ALLOWED = TOTAL[Priority.PERSON]


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[SqliteStore]]:
    """Two on one file, as two processes have them."""
    stores = [SqliteStore(tmp_path / "store.sqlite3") for _ in range(2)]
    yield stores
    for store in stores:
        await store.close()


async def taken(limiter: SharedLimiter, most: int) -> int:
    """How many slots there are at once, up to `most`."""
    for count in range(most):
        try:
            await limiter.acquire(Priority.PERSON, timeout=0)
        except RateLimitedError:
            return count
    return most


PROGRAM = """
    from piv_mcp.api.rate_limit import Priority
    from piv_mcp.errors import RateLimitedError
    from piv_mcp.store.rate_limit import SharedLimiter

    def hang(connection):
        connection.execute("DELETE FROM requests")
        print("hangs", flush=True)
        time.sleep(1000)

    async def main():
        store = SqliteStore(Path(sys.argv[1]))
        limiter = SharedLimiter(store)
        while order := (await asyncio.to_thread(sys.stdin.readline)).split():
            if order[0] == "hang":
                await store.requests.run(hang)
            taken = 0
            try:
                while taken < int(order[0]):
                    await limiter.acquire(Priority.PERSON, timeout=float(order[1]))
                    taken += 1
            except RateLimitedError:
                pass
            print(taken, flush=True)
        await store.close()

    asyncio.run(main())
"""


class Sender:
    """A process that takes slots."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, *order: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{' '.join(map(str, order))}\n".encode())
        return (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode().strip()

    async def take(self, most: int, *, patience: float = 0.0) -> int:
        return int(await self.ask(most, patience))


@asynccontextmanager
async def sender(path: Path) -> AsyncGenerator[Sender]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*script(PROGRAM, path), stdin=pipe, stdout=pipe)
    try:
        yield Sender(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def files(path: Path) -> list[Path]:
    return [path, *(side(path, name) for name in SIDES)]


# --- processes that die


@posix_only
async def test_a_process_that_is_killed_in_a_transaction_takes_nothing_with_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with sender(path) as first, sender(path) as second, sender(path) as third:
        assert await first.take(20) == 20
        assert await second.take(20) == 20
        assert await second.ask("hang") == "hangs"
        waiting = asyncio.create_task(first.take(ALLOWED, patience=1))
        second.process.send_signal(signal.SIGKILL)
        await second.process.wait()
        assert await waiting + await third.take(ALLOWED) == ALLOWED - 40
        async with sender(path) as fourth:
            assert await fourth.take(1) == 0


async def test_processes_that_send_at_the_same_time_send_no_more_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with sender(path) as first, sender(path) as second, sender(path) as third:
        counts = await asyncio.gather(*(each.take(ALLOWED) for each in (first, second, third)))
    assert sum(counts) == ALLOWED


# --- files that are deleted, or damaged


@posix_only
@pytest.mark.parametrize("gone", [("", "-wal", "-shm"), ("",), ("-wal",), ("-shm",), ("-wal", "-shm")], ids="+".join)
async def test_what_was_sent_counts_also_when_files_are_deleted(tmp_path: Path, gone: tuple[str, ...]) -> None:
    path = tmp_path / "store.sqlite3"
    async with sender(path) as first, sender(path) as second:
        assert await first.take(30) == 30
        assert await second.take(30) == 30
        for name in gone:
            side(side(path, "-requests"), name).unlink()
        assert await second.take(ALLOWED) == ALLOWED - 60
        assert await first.take(1) == 0


@posix_only
async def test_a_process_that_starts_after_the_files_were_deleted_is_told_what_others_sent(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with sender(path) as first:
        assert await first.take(30) == 30
        for file in files(side(path, "-requests")):
            file.unlink()
        async with sender(path) as second:
            assert await second.take(ALLOWED) == ALLOWED - 30


def overwritten(file: Path, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(content)


@posix_only
@pytest.mark.parametrize("garbage", [b"\0", b"garbage "])
async def test_what_was_sent_counts_also_when_the_file_is_damaged(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "store.sqlite3"
    async with sender(path) as first, sender(path) as second:
        assert await first.take(30) == 30
        assert await second.take(20) == 20
        for file in files(side(path, "-requests")):
            overwritten(file, garbage * (file.stat().st_size // len(garbage)))
        # Where the damage is noticed, nobody knows at once what the others have sent.
        assert await second.take(ALLOWED) + await second.take(ALLOWED, patience=10) == ALLOWED - 50
        assert await first.take(1) == 0


@posix_only
async def test_a_process_that_starts_on_a_damaged_file_is_told_what_others_sent(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with sender(path) as first:
        assert await first.take(30) == 30
        for file in files(side(path, "-requests")):
            overwritten(file, b"garbage " * (file.stat().st_size // 8))
        async with sender(path) as second:
            assert await second.take(ALLOWED) + await second.take(ALLOWED, patience=10) == ALLOWED - 30


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_file_is_made_anew_at_the_start(tmp_path: Path, content: bytes) -> None:
    clock = MovingClock(speed=0)
    for file in files(side(tmp_path / "store.sqlite3", "-requests")):
        file.write_bytes(content)
    store = SqliteStore(tmp_path / "store.sqlite3")
    limiter = SharedLimiter(store, clock)
    await taken(limiter, 1)
    clock.advance(WINDOW)
    assert await taken(limiter, ALLOWED) == ALLOWED
    await store.close()


async def test_another_program_s_database_is_no_file_of_requests(stores: list[SqliteStore]) -> None:
    with closing(sqlite3.connect(stores[0].requests.path, isolation_level=None)) as other:
        other.execute(f"PRAGMA user_version = {minute.TABLES_VERSION}")
        other.execute("CREATE TABLE requests (name TEXT)")
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await taken(limiter, 1)
    clock.advance(WINDOW)
    assert await taken(limiter, ALLOWED) == ALLOWED


# --- files that cannot be used


async def test_beside_a_newer_version_each_process_counts_its_own(stores: list[SqliteStore]) -> None:
    path = stores[0].requests.path
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute(f"PRAGMA user_version = {minute.TABLES_VERSION + 1}")
        newer.execute("CREATE TABLE requests (name TEXT)")
    known = inode_of(path)
    limiters = [SharedLimiter(store) for store in stores]
    assert [await taken(limiter, 100) for limiter in limiters] == [ALLOWED, ALLOWED]
    assert inode_of(path) == known, "it was not replaced"


async def test_where_there_can_be_no_file_each_process_counts_its_own_and_tells_later(
    stores: list[SqliteStore],
) -> None:
    path = stores[0].requests.path
    path.mkdir()
    first, second = (SharedLimiter(store) for store in stores)
    assert await taken(first, 30) == 30
    await first.pause(0.001)
    assert await taken(second, 20) == 20
    path.rmdir()
    assert await taken(first, 10) == 10
    assert await taken(second, ALLOWED) == ALLOWED - 60
    assert await taken(first, 1) == 0


@posix_only
async def test_on_a_full_disk_a_process_counts_its_own_and_tells_later(stores: list[SqliteStore]) -> None:
    import resource  # Windows has no such module

    limiter, other = (SharedLimiter(store) for store in stores)
    await taken(limiter, 10)
    await taken(other, 10)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = side(stores[0].requests.path, "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        assert await taken(limiter, 20) == 20
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, ignored)
    await taken(limiter, 1)
    assert await taken(other, ALLOWED) == ALLOWED - 41


async def test_other_transactions_are_waited_for_without_holding_anybody_up(
    stores: list[SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_file, "LOCKED_SECONDS", 60.0)
    limiter = SharedLimiter(stores[0])
    await taken(limiter, 1)
    with closing(sqlite3.connect(stores[0].requests.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(taken(limiter, 1))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        other.execute("COMMIT")
    assert await waiting == 1


async def test_a_file_that_stays_locked_is_counted_in_later(
    stores: list[SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_file, "LOCKED_SECONDS", 0.0)
    limiter, other = (SharedLimiter(store) for store in stores)
    await taken(limiter, 1)
    with closing(sqlite3.connect(stores[0].requests.path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert await taken(limiter, 29) == 29
        holder.execute("COMMIT")
    await taken(limiter, 1)
    assert await taken(other, ALLOWED) == ALLOWED - 31


async def test_a_caller_that_is_cancelled_behind_a_lock_has_sent_nothing_and_waits_no_more(
    stores: list[SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_file, "LOCKED_SECONDS", 60.0)
    limiter = SharedLimiter(stores[0])
    await taken(limiter, 1)
    with closing(sqlite3.connect(stores[0].requests.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(limiter.acquire(Priority.PERSON, timeout=60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        other.execute("COMMIT")
    assert await stores[1].requests.run(lambda c: c.count("SELECT count(*) FROM requests")) == 1
    assert await stores[1].requests.run(lambda c: c.count("SELECT count(*) FROM waiting")) == 0


# --- what is counted


async def test_two_keys_that_turn_out_to_be_one_account_s_share_the_limit(tmp_path: Path) -> None:
    first, second = (SqliteStore(tmp_path / "store.sqlite3", key_digest=key) for key in ("a", "b"))
    await first.write(accounts.identify, "person")
    assert await taken(SharedLimiter(first), 30) == 30
    late = SharedLimiter(second)
    assert await taken(late, 30) == 30
    await late.pause(0.001)
    await second.write(accounts.identify, "person")
    assert await taken(late, ALLOWED) == ALLOWED - 60
    assert await taken(SharedLimiter(first), 1) == 0
    for store in (first, second):
        await store.close()


async def test_a_person_waits_until_the_moment_that_was_noted(stores: list[SqliteStore]) -> None:
    def look(now: float) -> Callable[[minute.Connection], bool]:
        return lambda connection: minute.person_is_waiting(connection, now)

    await stores[0].requests.run(minute.note_waiting, "token", 1000.0)
    assert await stores[1].requests.run(look(999.9))
    assert not await stores[1].requests.run(look(1000.0))


async def test_no_disk_is_waited_for(stores: list[SqliteStore]) -> None:
    await taken(SharedLimiter(stores[0]), 1)
    assert await stores[0].requests.run(lambda c: c.count("PRAGMA synchronous")) == 0


async def test_the_file_is_the_owner_s_alone_and_stays_small(stores: list[SqliteStore], tmp_path: Path) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    for _ in range(50):
        await taken(limiter, ALLOWED)
        clock.advance(WINDOW)
    found = [file for file in files(stores[0].requests.path) if file.exists()]
    assert sum(file.stat().st_size for file in found) < 10_000_000
    if sys.platform != "win32":
        assert {file.stat().st_mode & 0o777 for file in found} == {0o600}
    await until(lambda: os.listdir(tmp_path), seconds=1, what="the files")
