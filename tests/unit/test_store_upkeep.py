"""Maintenance of the state file: its log, deleted data, and a folder that was removed."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keepalived.lease.holds import LentToken
from keepalived.store import sqlite_file
from keepalived.store.commits import MANY
from keepalived.store.errors import StoreError, StoreWriteError
from keepalived.store.store import Store
from tests.support.state_file import (
    HOLD,
    KEY,
    OWNER,
    Hands,
    kept,
    opened,
    renewed,
    tell,
    traces,
    watching,
)

TOKEN = "b00f0f0f0f0f0f0f-lent"
LENT = replace(HOLD, token=LentToken(TOKEN))
OTHER = KEY._replace(id="other")
THIRD = KEY._replace(id="third")


class Later(Hands):
    """Clocks that the test sets, also while they are in use."""

    def go_on(self, seconds: float) -> None:
        self._boot += seconds
        self._wall += seconds


def count(statements: list[str], beginning: str) -> int:
    """Return how many statements begin so, and forget them all."""
    found = [each for each in statements if each.startswith(beginning)]
    statements.clear()
    return len(found)


async def note(store: Store, renewals: int = 7) -> None:
    store.note_session(renewed()._replace(renewals=renewals))
    store._flush()
    await store._committed()


# -- the log

EMPTY = "PRAGMA wal_checkpoint"


async def test_the_log_is_emptied_once_nothing_is_written_any_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        statements = await watching(store)
        await store._checkpoint()
        # What an earlier process has left in it.
        assert count(statements, EMPTY) == 1
        await store._checkpoint()
        assert count(statements, EMPTY) == 0
        await note(store)
        await store._checkpoint()
        assert count(statements, EMPTY) == 0
        await store._checkpoint()
        assert "VACUUM" not in statements
        assert count(statements, EMPTY) == 1
        await store._checkpoint()
        assert count(statements, EMPTY) == 0


async def test_while_there_is_more_to_write_the_log_is_emptied_once_a_minute(
    tmp_path: Path,
) -> None:
    clock = Later()
    async with opened(tmp_path, clock) as (store, _):
        statements = await watching(store)
        emptied = []
        for seconds in range(0, 150, 5):
            await note(store, seconds)
            await store._checkpoint()
            if count(statements, EMPTY):
                emptied.append(seconds)
            clock.go_on(5)
        assert emptied == [60, 120]


async def test_a_round_without_news_leaves_the_log_for_the_next_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store._checkpoint()
        await note(store)
        statements = await watching(store)
        for _ in range(2):
            # As each round does, to find out that the file has been removed.
            store._start_committing()
            await store._committed()
            await store._checkpoint()
        assert count(statements, EMPTY) == 1
        assert (tmp_path / "state.db-wal").stat().st_size == 0


async def test_what_is_written_and_followed_by_nothing_is_news(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store._checkpoint()
        statements = await watching(store)
        await note(store)
        store._start_committing()
        await store._committed()
        await store._checkpoint()
        assert count(statements, EMPTY) == 0


async def test_a_log_that_cannot_be_emptied_now_is_nobodys_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    async with opened(tmp_path) as (store, _):
        with monkeypatch.context() as patched:
            patched.setattr("keepalived.store.commits.purge", locked)
            await store._checkpoint()
        await store.put_hold(KEY, HOLD)


# -- what was deleted


async def test_a_token_is_gone_with_its_hold_whatever_is_written_before_and_after(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, LENT)
        await store.put_hold(OTHER, HOLD)
        await store._purge()
        assert traces(tmp_path, TOKEN) == ["state.db"]
        await store.delete_hold(KEY, LENT.uid, OWNER)
        await note(store)
        assert traces(tmp_path, TOKEN) == ["state.db"]
        await store._purge()
        assert traces(tmp_path, TOKEN) == []


async def test_where_no_token_is_kept_the_log_stays_when_holds_go(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store._purge()
        statements = await watching(store)
        await store.put_hold(KEY, HOLD)
        await store.delete_hold(KEY, HOLD.uid, OWNER)
        await store._purge()
        assert count(statements, EMPTY) == 0


async def test_the_file_is_rewritten_for_tokens_whatever_is_written_after(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, LENT)
        await store._purge()
        statements = await watching(store)
        store.persist_tokens = False
        await store._committed()
        await note(store)
        await store._purge()
        assert count(statements, "VACUUM") == 1


async def test_many_sessions_are_written_by_few_statements(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        statements = await watching(store)
        for number in range(2 * MANY + 3):
            store.note_session(renewed()._replace(key=KEY._replace(id=str(number))))
        store._flush()
        await store._committed()
        assert count(statements, "INSERT OR REPLACE INTO session") == 2 + 3
    assert len((await kept(tmp_path)).sessions) == 2 * MANY + 3


# -- a file that is made again


def modes(paths: Iterable[Path]) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}


async def test_nobody_else_can_read_what_is_made_again_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    synced: list[int] = []
    fsync = os.fsync

    def note_mode(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            synced.append(stat.S_IMODE(found.st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_mode)
    async with opened(folder) as (store, _):
        await store.put_hold(KEY, LENT)
        shutil.rmtree(folder)
        with pytest.raises(StoreWriteError):
            await store.put_hold(OTHER, HOLD)
        await store.put_hold(THIRD, HOLD)
        assert modes([folder]) == {0o700}
        assert modes(folder.iterdir()) == {0o600}
    assert set(synced) == {0o600}


async def test_a_file_that_could_not_be_opened_once_it_was_made_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> sqlite3.Connection:
        raise StoreError(f"{path}: too many open files")

    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.path.unlink()
        with monkeypatch.context() as patched:
            patched.setattr(sqlite_file, "open_database", refuse)
            for _ in range(2):
                with pytest.raises(StoreWriteError):
                    await store.put_hold(OTHER, HOLD)
        await store.put_hold(THIRD, HOLD)
        made = store.path.stat().st_ino
        for note_ in ("again", "and again"):
            await store.put_hold(THIRD, replace(HOLD, note=note_))
            assert store.path.stat().st_ino == made
    assert {session.key for session in (await kept(tmp_path)).sessions} == {KEY, THIRD}


async def test_a_file_that_could_not_be_made_again_is_not_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.path.unlink()
        in_the_way = tmp_path / "state.db.new"
        in_the_way.mkdir()
        for _ in range(2):
            with pytest.raises(StoreWriteError):
                await store.put_hold(OTHER, HOLD)
        in_the_way.rmdir()
        await store.put_hold(THIRD, HOLD)
    assert {session.key for session in (await kept(tmp_path)).sessions} == {KEY, THIRD}


# -- the end


async def test_what_is_lost_at_the_end_is_said_with_the_files_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db", Hands(), "this-boot")
    await store.open()
    await tell(store, "PRAGMA query_only = 1")
    with capture_logs() as logs:
        store.note_session(renewed())
        await store.close()
    (lost,) = [line for line in logs if line["event"] == "state_lost"]
    assert lost == {
        "event": "state_lost",
        "log_level": "error",
        "path": str(tmp_path / "state.db"),
        "changes": 1,
    }
    with pytest.raises(StoreWriteError) as refused:
        await store.put_hold(KEY, HOLD)
    error = refused.value
    assert (error.errno, error.strerror) == (errno.EBADF, "the state file is closed")
    assert error.filename == str(tmp_path / "state.db")
