"""The state file: stored data comes back, in group commits, and nothing else is touched."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from keepalived.lease.endings import Ending
from keepalived.lease.model import State
from keepalived.store import schema
from keepalived.store.errors import StoreError, StoreWriteError
from keepalived.store.loading import Stored
from keepalived.store.store import Store
from tests.support.state_file import (
    DONE,
    HOLD,
    KEY,
    OWNER,
    Hands,
    kept,
    opened,
    renewed,
    tell,
    watching,
)


async def test_a_hold_comes_back_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, stored):
        assert stored == Stored()
        await store.put_hold(KEY, HOLD)
    (session,) = (await kept(tmp_path)).sessions
    assert (session.key, session.holds) == (KEY, (HOLD,))
    assert session.state is State.PENDING


async def test_the_same_partys_hold_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    other = replace(HOLD, uid=1001)
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        await store.put_hold(KEY, other)
        await store.put_hold(KEY, replace(HOLD, note="changed"))
        await store.delete_hold(KEY, 1001, OWNER)
    (session,) = (await kept(tmp_path)).sessions
    assert session.holds == (replace(HOLD, note="changed"),)


async def test_what_is_known_of_a_session_comes_back_with_its_holds(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.note_session(renewed())
    (session,) = (await kept(tmp_path)).sessions
    assert session == renewed()._replace(holds=(HOLD,))


async def test_an_end_takes_the_holds_along_and_says_how(tmp_path: Path) -> None:
    ending = Ending(State.ERROR, "the server reports an error", "no space left", False)
    ended = renewed()._replace(state=State.ERROR, ending=ending)
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.note_session(renewed())
        store.note_end(ended, 999.0)
    stored = await kept(tmp_path)
    assert stored.sessions == ()
    assert stored.ended == ((ended, 999.0),)


async def test_a_hold_after_the_end_begins_the_session_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        store.note_end(DONE, 999.0)
        await store.put_hold(KEY, HOLD)
    stored = await kept(tmp_path)
    assert stored.ended == ()
    assert [(each.state, each.renewals) for each in stored.sessions] == [(State.PENDING, 0)]


async def test_a_forgotten_session_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        store.note_session(renewed())
        store.forget(KEY)
    assert await kept(tmp_path) == Stored()


async def test_after_a_reboot_times_go_by_the_wall(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
    # 250 seconds later by the wall, on a machine that has been up for 20.
    (session,) = (await kept(tmp_path, Hands(20.0, 1_800_000_250.0), "next-boot")).sessions
    assert session.holds[0].until == pytest.approx(700.0 - 1000.0 + 20.0 - 250.0)


async def test_in_the_same_boot_a_step_of_the_wall_clock_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
    (session,) = (await kept(tmp_path, Hands(1010.0, 1_800_003_600.0))).sessions
    assert session.holds == (HOLD,)


async def test_writers_share_their_commits(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        statements = await watching(store)
        keys = [KEY._replace(id=str(number)) for number in range(64)]
        await asyncio.gather(*(store.put_hold(key, HOLD) for key in keys))
        assert statements.count("COMMIT") <= 2
    assert len((await kept(tmp_path)).sessions) == 64


async def test_a_caller_that_gives_up_does_not_stop_the_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        waiting = asyncio.create_task(store.put_hold(KEY, HOLD))
        await asyncio.sleep(0)
        waiting.cancel()
        await store.put_hold(KEY._replace(id="other"), HOLD)
    assert {each.key.id for each in (await kept(tmp_path)).sessions} == {KEY.id, "other"}


async def test_a_full_disk_refuses_holds_and_keeps_what_must_not_be_forgotten(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        await tell(store, "PRAGMA max_page_count = 1")
        big = replace(HOLD, note="x" * 100_000)
        with pytest.raises(StoreWriteError) as refused:
            await store.put_hold(KEY._replace(id="other"), big)
        assert refused.value.errno == errno.ENOSPC
        store.note_end(
            renewed()._replace(state=State.DONE, ending=Ending(State.DONE, "x" * 100_000)), 999.0
        )
        with pytest.raises(StoreWriteError):
            await store.put_hold(KEY._replace(id="other"), big)
        await tell(store, "PRAGMA max_page_count = 1000000")
    stored = await kept(tmp_path)
    assert [ended.key for ended, _ in stored.ended] == [KEY]
    assert stored.sessions == ()


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_nobody_else_can_read_any_of_the_files(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        async with opened(tmp_path) as (store, _):
            await store.put_hold(KEY, HOLD)
            modes = modes_in(tmp_path)
    finally:
        os.umask(umask)
    assert modes == dict.fromkeys(
        ("state.db", "state.db-wal", "state.db-shm", "state.db.lock"), 0o600
    )


async def test_a_second_opener_is_told_who_has_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        with pytest.raises(StoreError, match=rf"state\.db: in use by process {os.getpid()}"):
            await Store(store.path, Hands(), "this-boot").open()
        await store.put_hold(KEY, HOLD)
    assert len((await kept(tmp_path)).sessions) == 1


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
        database.execute("CREATE TABLE later (x)")
    database.close()


def text(path: Path) -> None:
    path.write_text("sessions: [{id: 1}]\n" * 100)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "not a state file of clkeepalived"),
        (text, "not a state file of clkeepalived"),
        (newer, "written by a newer release"),
    ],
)
async def test_what_is_not_ours_is_refused_by_name_and_left_alone(
    make: object, words: str, tmp_path: Path
) -> None:
    assert callable(make)
    path = tmp_path / "state.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words) as refused:
        await kept(tmp_path)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == before


async def test_a_damaged_file_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(tmp_path) as (store, _):
        for number in range(200):
            store.note_session(renewed()._replace(key=KEY._replace(id=str(number))))
    damaged = bytearray(path.read_bytes())
    damaged[4096 : 2 * 4096 + 512] = b"\xff" * (4096 + 512)
    path.write_bytes(damaged)
    with pytest.raises(StoreError) as refused:
        await kept(tmp_path)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == damaged


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"set state\.path to a writable folder"):
        await kept(tmp_path / "missing")


def test_an_older_file_is_brought_forward_step_by_step(tmp_path: Path) -> None:
    steps = [schema.VERSION_1, "ALTER TABLE hold ADD COLUMN colour TEXT DEFAULT 'blue';"]
    database = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    schema.migrate(database, steps[:1])
    database.execute(
        "INSERT INTO hold (vcenter, kind, id, uid, owner_kind, owner_id)"
        " VALUES ('lab', 'update', 'id', 0, 'none', '')"
    )
    schema.migrate(database, steps)
    assert schema.version_of(database) == 2
    assert database.execute("SELECT vcenter, colour FROM hold").fetchall() == [("lab", "blue")]
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(database, [*steps, "CREATE TABLE a (x); CREATE TABLE a (x);"])
    if database.in_transaction:
        database.execute("ROLLBACK")
    assert schema.version_of(database) == 2
    database.close()
