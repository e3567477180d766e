"""One value, row or disk that fails: everything else is stored."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending
from keepalived.lease.holds import Hold
from keepalived.lease.model import State
from keepalived.lease.progress import Progress
from keepalived.store import changes, commits, files
from keepalived.store.errors import StoreError, StoreWriteError
from keepalived.store.store import Store
from keepalived.store.times import Times
from tests.support.state_file import DONE, HOLD, KEY, OWNER, Hands, kept, opened, renewed, tell

OTHER = KEY._replace(id="other")
HALF_A_CHARACTER = "\ud800"


class Disk:
    """A state file that cannot be written while somebody else has it locked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._elsewhere = sqlite3.connect(
            store.path, isolation_level=None, check_same_thread=False, timeout=0
        )

    async def fail(self) -> None:
        await tell(self._store, "PRAGMA busy_timeout = 0")
        self._elsewhere.execute("BEGIN IMMEDIATE")

    def recover(self) -> None:
        if self._elsewhere.in_transaction:
            self._elsewhere.execute("ROLLBACK")


@contextlib.contextmanager
def disk_of(store: Store) -> Iterator[Disk]:
    disk = Disk(store)
    try:
        yield disk
    finally:
        disk.recover()
        disk._elsewhere.close()


# -- values


@pytest.mark.parametrize(
    "poisoned",
    [
        replace(HOLD, note=f"a{HALF_A_CHARACTER}"),
        replace(HOLD, progress=Progress(done=5, total=2**63)),
        replace(HOLD, uid=2**64),
    ],
    ids=["half a character", "65 bits", "66 bits"],
)
async def test_a_hold_that_cannot_be_written_fails_alone(poisoned: Hold, tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        results = await asyncio.gather(
            store.put_hold(KEY, HOLD),
            store.put_hold(OTHER, poisoned),
            store.put_hold(KEY._replace(id="third"), HOLD),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), StoreWriteError, type(None)]
        assert isinstance(results[1], StoreWriteError)
        assert results[1].errno == errno.EINVAL
        assert not store._kept
    assert {session.key.id for session in (await kept(tmp_path)).sessions} == {KEY.id, "third"}


async def test_a_session_that_cannot_be_written_is_named_once_and_given_up(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with opened(tmp_path) as (store, _):
            for _ in range(2):
                store.note_session(renewed()._replace(renewals=2**63))
                store.note_session(renewed()._replace(key=OTHER))
                store._flush()
                await store.put_hold(OTHER, HOLD)
    dropped = [line for line in logs if line["event"] == "state_change_dropped"]
    assert [line["row"] for line in dropped] == [f"session lab update {KEY.id}"]
    assert [line for line in logs if line["log_level"] == "error"] == dropped
    (session,) = (await kept(tmp_path)).sessions
    assert (session.key, session.renewals) == (OTHER, 7)


async def test_whatever_a_server_says_its_end_is_written(tmp_path: Path) -> None:
    words = f"no space{HALF_A_CHARACTER}\0 left"
    ending = Ending(State.ERROR, "the server reports an error", words)
    strange = renewed()._replace(
        state=State.ERROR,
        ending=ending,
        acknowledged=10**30,
        item=ItemInfo("item-1", HALF_A_CHARACTER, HALF_A_CHARACTER),
    )
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.note_end(strange, 999.0)
    stored = await kept(tmp_path)
    assert stored.sessions == ()
    ((session, _),) = stored.ended
    assert session.ending == ending._replace(error_message="no space\\ud800\0 left")
    assert session.acknowledged is None


async def test_an_error_that_nobody_foresaw_reaches_whoever_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError

    async with opened(tmp_path) as (store, _):
        with monkeypatch.context() as patched:
            patched.setattr("keepalived.store.commits.commit", out_of_memory)
            with pytest.raises(StoreWriteError, match="MemoryError"):
                await store.put_hold(KEY, HOLD)
            with pytest.raises(StoreWriteError, match="MemoryError"):
                await store.delete_hold(KEY, HOLD.uid, OWNER)
        await store.put_hold(OTHER, HOLD)
    assert [session.key for session in (await kept(tmp_path)).sessions] == [OTHER]


# -- order


async def test_a_removal_that_had_to_wait_spares_the_hold_that_came_after_it(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        with disk_of(store) as disk:
            await disk.fail()
            gate = threading.Event()
            # The thread does one after the other: the removal fails, the disk recovers, and what
            # was asked for meanwhile is written.
            waiting = asyncio.create_task(store._in_thread(gate.wait))
            await asyncio.sleep(0)
            removing = asyncio.create_task(store.delete_hold(KEY, HOLD.uid, OWNER))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not store._waiting
            recovering = asyncio.create_task(store._in_thread(disk.recover))
            putting = asyncio.create_task(store.put_hold(KEY, replace(HOLD, note="newer")))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(waiting, recovering, putting)
            with pytest.raises(StoreWriteError):
                await removing
    (session,) = (await kept(tmp_path)).sessions
    assert [hold.note for hold in session.holds] == ["newer"]


async def test_a_disk_that_fails_for_days_does_not_fill_the_memory(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        with disk_of(store) as disk:
            await disk.fail()
            for renewals in range(50):
                store.note_session(renewed()._replace(renewals=renewals))
                store._flush()
                with pytest.raises(StoreWriteError):
                    await store.put_hold(OTHER, HOLD)
            assert len(store._kept) == 1
    (session,) = (await kept(tmp_path)).sessions
    assert session.renewals == 49


async def test_what_was_kept_back_is_written_though_nothing_new_comes(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        with disk_of(store) as disk:
            await disk.fail()
            with pytest.raises(StoreWriteError):
                await store.delete_hold(KEY, HOLD.uid, OWNER)
        store._flush()
        await store._committed()
        assert not store._kept


# -- closing and opening


async def test_closing_on_a_failing_disk_says_what_is_lost_and_lets_the_file_go(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "state.db", Hands(), "this-boot")
    await store.open()
    with capture_logs() as logs, disk_of(store) as disk:
        await disk.fail()
        store.note_session(renewed())
        await store.close()
        await store.close()
    assert [(line["event"], line["changes"]) for line in logs if "changes" in line] == [
        ("state_lost", 1)
    ]
    assert (await kept(tmp_path)).sessions == ()


async def test_what_comes_after_closing_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        pass
    store.note_end(DONE, 999.0)
    with pytest.raises(StoreWriteError, match="closed"):
        await store.put_hold(KEY, HOLD)


async def test_a_closer_that_gives_up_leaves_nothing_locked(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db", Hands(), "this-boot")
    await store.open()
    gate = threading.Event()
    holding_up = store._thread.submit(gate.wait)
    putting = asyncio.create_task(store.put_hold(KEY, HOLD))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    gate.set()
    assert holding_up.result()
    await putting
    store._thread.shutdown()
    assert len((await kept(tmp_path)).sessions) == 1


class Stopped(Hands):
    """Clocks that nobody can read before the gate is open. The file is read with them."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.gate = threading.Event()

    def wall(self) -> float:
        self.reading.set()
        self.gate.wait()
        return super().wall()


async def test_an_opener_that_gives_up_leaves_nothing_locked(tmp_path: Path) -> None:
    clock = Stopped()
    store = Store(tmp_path / "state.db", clock, "this-boot")
    opening = asyncio.create_task(store.open())
    await asyncio.to_thread(clock.reading.wait)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    clock.gate.set()
    await asyncio.to_thread(store._thread.shutdown)
    await kept(tmp_path)


async def test_a_full_disk_at_the_start_is_named_and_nothing_stays_locked(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    store = Store(tmp_path / "state.db", Hands(), "this-boot")
    try:
        with pytest.raises(StoreError, match=r"state\.db"):
            await store.open()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await asyncio.to_thread(store._thread.shutdown)
    await kept(tmp_path)


async def test_a_foreign_database_is_left_alone_though_its_owner_was_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    (tmp_path / "state.db-journal").write_bytes(b"")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a state file of clkeepalived"):
        await kept(tmp_path)
    assert path.read_bytes() == before


async def test_a_file_restored_from_a_copy_is_taken_away_from_everybody_else(
    tmp_path: Path,
) -> None:
    await kept(tmp_path)
    path = tmp_path / "state.db"
    path.chmod(0o644)
    await kept(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_emptied_log_is_in_nobodys_way_whoever_keeps_what_it_answered(tmp_path: Path) -> None:
    seen: list[sqlite3.Cursor] = []

    class Watched(sqlite3.Connection):
        """As a look at all of Python's objects finds it: every cursor is kept by somebody."""

        def execute(self, *args: Any) -> sqlite3.Cursor:
            seen.append(super().execute(*args))
            return seen[-1]

    path = tmp_path / "state.db"
    files.open_database(path).close()
    database = sqlite3.connect(path, isolation_level=None, factory=Watched)
    commits.purge(database, rewrite=False)
    assert commits.commit(database, [changes.SCRUB], Times("boot", 0.0)) == []
    database.close()
