"""Very many sessions are written in batches, so that other changes do not wait for all."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

import keepalived.store.store as store_module
from keepalived.host.clock import SystemClock
from keepalived.lease.model import SessionKey
from keepalived.store.commits import MANY
from keepalived.store.store import Store
from tests.support.daemon_in_memory import SharedClock
from tests.support.state_file import DONE, HOLD, KEY, kept, opened, renewed, tell

PIECE = 4
COUNT = 10


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_BATCH", PIECE)
    monkeypatch.setattr(store_module, "_PAUSE_SECONDS", 0.0)


def key(number: int) -> SessionKey:
    return KEY._replace(id=f"session-{number}")


def note(store: Store, count: int) -> None:
    for number in range(count):
        store.note_session(renewed()._replace(key=key(number)))


def written(store: Store) -> int:
    """How many sessions are in the file, as another process sees it."""
    other = sqlite3.connect(store.path)
    try:
        count: int = other.execute("SELECT count(*) FROM session").fetchone()[0]
    finally:
        other.close()
    return count


async def test_in_the_end_all_are_written(tmp_path: Path) -> None:
    async with opened(tmp_path, SystemClock()) as (store, _):
        note(store, COUNT)
        await store._flush_in_batches()
        await store._committed()
        assert not store._changed
        assert written(store) == COUNT


@pytest.mark.looptime
async def test_each_piece_has_its_size_and_a_pause_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_PAUSE_SECONDS", 3.0)
    loop = asyncio.get_running_loop()
    async with opened(tmp_path, SharedClock()) as (store, _):
        note(store, COUNT)
        left: list[tuple[float, int]] = []
        flush = store._flush

        def note_what_is_left(most: int | None = None) -> None:
            flush(most)
            left.append((loop.time(), len(store._changed)))

        monkeypatch.setattr(store, "_flush", note_what_is_left)
        began = loop.time()
        await store._flush_in_batches()
        assert [count for _, count in left] == [COUNT - PIECE, COUNT - 2 * PIECE, 0]
        # Waiting for the thread that writes may take time as well.
        assert all(at - began >= 3.0 * number for number, (at, _) in enumerate(left))


async def test_a_hold_and_an_end_do_not_wait_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_PAUSE_SECONDS", 3600.0)
    async with opened(tmp_path, SystemClock()) as (store, _):
        note(store, COUNT)
        flushing = asyncio.create_task(store._flush_in_batches())
        await asyncio.sleep(0)
        last = DONE._replace(key=key(COUNT - 1))
        store.note_end(last, 1000.0)
        await store.put_hold(KEY, HOLD)
        assert written(store) == PIECE + 1
        assert len(store._changed) == COUNT - PIECE - 1
        flushing.cancel()
    stored = await kept(tmp_path)
    assert [session.key for session, _ in stored.ended] == [last.key]
    assert len(stored.sessions) == COUNT - 1 + len([KEY])


async def test_while_nothing_can_be_written_the_rest_stays_together(tmp_path: Path) -> None:
    async with opened(tmp_path, SystemClock()) as (store, _):
        blocking = sqlite3.connect(store.path, isolation_level=None)
        await tell(store, "PRAGMA busy_timeout = 0")
        blocking.execute("BEGIN IMMEDIATE")
        note(store, COUNT)
        await store._flush_in_batches()
        assert len(store._changed) == COUNT - PIECE
        blocking.execute("ROLLBACK")
        blocking.close()
    assert len((await kept(tmp_path)).sessions) == COUNT


@pytest.mark.parametrize("poisoned", [0, MANY - 1, MANY, 2 * MANY + 3])
async def test_one_that_cannot_be_written_leaves_out_no_other(
    poisoned: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2 * MANY + 5
    monkeypatch.setattr(store_module, "_BATCH", count)
    async with opened(tmp_path) as (store, _):
        note(store, count)
        store.note_session(renewed()._replace(key=key(poisoned), renewals=2**63))
        store._flush()
    assert {session.key for session in (await kept(tmp_path)).sessions} == {
        key(number) for number in range(count) if number != poisoned
    }
