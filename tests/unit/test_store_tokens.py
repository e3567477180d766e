"""Lent tokens: stored if wanted, deleted without a trace otherwise, and never logged."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from keepalived.host.clock import SystemClock
from keepalived.lease.holds import LentToken
from keepalived.store import store as store_module
from keepalived.store.errors import StoreWriteError
from keepalived.store.store import Store
from tests.support.state_file import DONE, HOLD, KEY, OWNER, kept, opened, tell, traces, watching

TOKEN = "b00f0f0f0f0f0f0f-lent"
LENT = replace(HOLD, token=LentToken(TOKEN))


async def purged(store: Store) -> None:
    """Wait until all is written, and do what is done every few seconds."""
    await store._committed()
    await store._purge()


async def test_a_lent_token_comes_back_and_is_tried_once_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, replace(LENT, token=LentToken(TOKEN, refused=True)))
    (session,) = (await kept(tmp_path)).sessions
    assert session.holds == (LENT,)


async def test_where_tokens_are_not_wanted_none_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path, persist_tokens=False) as (store, _):
        await store.put_hold(KEY, LENT)
        assert traces(tmp_path, TOKEN) == []
    (session,) = (await kept(tmp_path)).sessions
    assert session.holds == (HOLD,)


async def test_tokens_that_are_not_wanted_any_more_are_gone_from_the_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, LENT)
    assert traces(tmp_path, TOKEN) == ["state.db"]
    async with opened(tmp_path, persist_tokens=False) as (_, stored):
        assert [session.holds for session in stored.sessions] == [(HOLD,)]
        assert traces(tmp_path, TOKEN) == []


async def test_a_reload_that_does_not_want_tokens_removes_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, LENT)
        assert traces(tmp_path, TOKEN) != []
        store.persist_tokens = False
        await store.put_hold(KEY._replace(id="later"), LENT)
        await purged(store)
        assert traces(tmp_path, TOKEN) == []
    assert all(
        hold.token is None for session in (await kept(tmp_path)).sessions for hold in session.holds
    )


async def test_a_scrub_leaves_no_copy_behind_however_rows_have_moved(tmp_path: Path) -> None:
    # With these, a copy is left behind where the file is not written anew.
    draw = random.Random(5)
    tokens: dict[str, str] = {}
    async with opened(tmp_path) as (store, _):
        for _ in range(40):
            new = {f"{draw.randrange(10**9):x}": f"TOKEN-{draw.random()}" for _ in range(50)}
            tokens |= new
            gone = draw.sample(sorted(tokens), 30)
            await asyncio.gather(
                *(
                    store.put_hold(KEY._replace(id=name), replace(HOLD, token=LentToken(token)))
                    for name, token in new.items()
                ),
                *(store.delete_hold(KEY._replace(id=name), 1000, OWNER) for name in gone),
            )
        store.persist_tokens = False
        await purged(store)
        assert traces(tmp_path, "TOKEN-") == []


async def test_a_scrub_that_cannot_be_written_now_is_done_later_and_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, LENT)
        rewritten = await watching(store)
        await tell(store, "PRAGMA query_only = 1")
        store.persist_tokens = False
        await purged(store)
        assert "VACUUM" not in rewritten
        assert traces(tmp_path, TOKEN) != []
        await tell(store, "PRAGMA query_only = 0")
        store._flush()
        await purged(store)
        assert "VACUUM" in rewritten
        assert traces(tmp_path, TOKEN) == []


async def test_the_token_of_a_hold_that_is_gone_leaves_the_log_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "FLUSH_SECONDS", 0.02)
    async with opened(tmp_path, SystemClock()) as (store, _):
        await purged(store)
        await store.put_hold(KEY, LENT)
        await store.delete_hold(KEY, LENT.uid, OWNER)
        assert traces(tmp_path, TOKEN) != []
        running = asyncio.create_task(store.run())
        async with asyncio.timeout(120):
            # It is the files that are watched.
            while traces(tmp_path, TOKEN):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        running.cancel()


@pytest.fixture
def _plain_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make SQLite leave what it deletes, as most builds do; Debian's overwrites it by itself."""
    connect = sqlite3.connect

    def connect_plainly(*args: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*args, **options)
        database.execute("PRAGMA secure_delete = OFF")
        return database

    monkeypatch.setattr(sqlite3, "connect", connect_plainly)


async def end_hold(store: Store) -> None:
    await store.delete_hold(KEY, LENT.uid, OWNER)


async def drop_hold(store: Store) -> None:
    store.drop_hold(KEY, LENT.uid, OWNER)


async def end_session(store: Store) -> None:
    store.note_end(DONE, 999.0)


async def lend_another(store: Store) -> None:
    await store.put_hold(KEY, replace(HOLD, token=LentToken("short")))


async def take_back(store: Store) -> None:
    await store.put_hold(KEY, HOLD)


@pytest.mark.usefixtures("_plain_sqlite")
@pytest.mark.parametrize("end", [end_hold, drop_hold, end_session, lend_another, take_back])
async def test_a_token_that_has_reached_the_file_is_overwritten_when_it_goes(
    end: Callable[[Store], Awaitable[None]], tmp_path: Path
) -> None:
    beside = LentToken("beside-" + TOKEN[::-1])
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, LENT)
        await store.put_hold(KEY._replace(id="beside"), replace(HOLD, token=beside))
    assert traces(tmp_path, TOKEN) == ["state.db"]
    async with opened(tmp_path) as (store, _):
        await end(store)
        await purged(store)
        assert traces(tmp_path, TOKEN) == []
        assert traces(tmp_path, beside.value) != []


async def test_a_token_is_never_said_where_its_hold_cannot_be_written(tmp_path: Path) -> None:
    poisoned = replace(LENT, note="\ud800")
    with capture_logs() as logs:
        async with opened(tmp_path) as (store, _):
            with pytest.raises(StoreWriteError) as refused:
                await store.put_hold(KEY, poisoned)
            # Nobody waits for this one any more.
            waiting = asyncio.create_task(store.put_hold(KEY, poisoned))
            await asyncio.sleep(0)
            assert not any(TOKEN in repr(write) for write in store._waiting)
            waiting.cancel()
    said = "".join(traceback.format_exception(refused.value)) + repr(logs)
    assert "state_change_dropped" in said
    assert TOKEN not in said
    assert refused.value.__context__ is None


async def test_an_error_that_repeats_a_token_is_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeating(*_: object) -> None:
        raise ValueError(TOKEN)

    with capture_logs() as logs:
        async with opened(tmp_path) as (store, _):
            with monkeypatch.context() as patched:
                patched.setattr("keepalived.store.commits.commit", repeating)
                with pytest.raises(StoreWriteError, match="ValueError") as failed:
                    await store.put_hold(KEY, LENT)
    assert failed.value.__context__ is None
    assert TOKEN not in "".join(traceback.format_exception(failed.value)) + repr(logs)


async def test_a_row_with_a_token_that_is_none_is_named_without_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, replace(HOLD, token=LentToken(f"{TOKEN} {TOKEN}")))
    with capture_logs() as logs:
        assert (await kept(tmp_path)).sessions == ()
    assert [line["event"] for line in logs] == ["state_row_ignored"]
    assert TOKEN not in repr(logs)
