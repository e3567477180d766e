"""Each value of a row is restored, in this boot and the next; deleted rows leave the disk."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending
from keepalived.lease.holds import Hold
from keepalived.lease.model import State
from keepalived.lease.progress import Progress
from keepalived.lease.session import Session
from keepalived.store.errors import StoreWriteError
from keepalived.store.loading import Stored
from keepalived.store.store import Store
from tests.support.state_file import DONE, HOLD, KEY, OWNER, Hands, kept, opened, renewed, tell

NEXT_BOOT = Hands(20.0, 1_800_000_250.0)
"""The clocks 250 seconds later, on a machine that has been up for 20."""

SHIFT = 20.0 - 250.0 - 1000.0
"""What a time of the first boot has to be changed by to count in the next one."""


async def restored(folder: Path, session: Session, *holds: Hold) -> Session:
    """Write a session and holds on it, and return what the file gives back."""
    async with opened(folder) as (store, _):
        for hold in holds:
            await store.put_hold(session.key, hold)
        store.note_session(session)
    (found,) = (await kept(folder)).sessions
    return found


# -- values


@pytest.mark.parametrize(
    "progress",
    [Progress(), Progress(40), Progress(done=5), Progress(total=10), Progress(done=5, total=10)],
    ids=str,
)
async def test_whatever_is_known_of_the_progress_comes_back(
    progress: Progress, tmp_path: Path
) -> None:
    hold = replace(HOLD, progress=progress, until=None)
    found = await restored(tmp_path, renewed(), hold)
    assert found.holds == (hold,)


async def test_a_session_that_was_never_renewed_comes_back_as_such(tmp_path: Path) -> None:
    new = renewed()._replace(
        state=State.PENDING, renewed_at=None, renewals=0, acknowledged=None, moved_at=None
    )
    assert await restored(tmp_path, new) == new


async def test_a_hold_alone_begins_its_session_with_the_oldest_of_them(tmp_path: Path) -> None:
    older = replace(HOLD, uid=1001, since=50.0)
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        await store.put_hold(KEY, older)
    (found,) = (await kept(tmp_path)).sessions
    assert found == Session(KEY, 0.0, 0.0, 50.0, 0.0, (HOLD, older))


@pytest.mark.parametrize("item_id_known", [True, False])
async def test_an_item_that_is_not_the_target_comes_back_without_one(
    item_id_known: bool, tmp_path: Path
) -> None:
    target = renewed().target
    assert target is not None
    session = renewed()._replace(
        target=target if item_id_known else None,
        item=ItemInfo("item-1" if item_id_known else "", "disk", "3", "Templates"),
    )
    assert await restored(tmp_path, session) == session


async def test_a_session_whose_item_is_unknown_comes_back_without_one(tmp_path: Path) -> None:
    session = renewed()._replace(item=None, target=None)
    assert await restored(tmp_path, session) == session


@pytest.mark.parametrize("content_moved", [True, False, None])
async def test_whether_the_content_moved_comes_back(
    content_moved: bool | None, tmp_path: Path
) -> None:
    ending = Ending(State.DONE, "completed", content_moved=content_moved)
    async with opened(tmp_path) as (store, _):
        store.note_end(DONE._replace(ending=ending), 999.0)
    ((ended, _),) = (await kept(tmp_path)).ended
    assert ended.ending == ending


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1])
async def test_the_greatest_numbers_that_a_row_can_take_come_back(
    number: int, tmp_path: Path
) -> None:
    session = renewed()._replace(acknowledged=number)
    assert (await restored(tmp_path, session)).acknowledged == number


# -- times


async def test_after_a_reboot_every_time_of_a_session_goes_by_the_wall(tmp_path: Path) -> None:
    first = renewed()
    assert first.renewed_at is not None
    assert first.moved_at is not None
    async with opened(tmp_path) as (store, _):
        store.note_session(first)
        store.note_end(DONE._replace(key=KEY._replace(id="over")), 999.0)
    stored = await kept(tmp_path, NEXT_BOOT, "next-boot")
    (found,) = stored.sessions
    assert found.since == pytest.approx(first.since + SHIFT)
    assert found.renewed_at == pytest.approx(first.renewed_at + SHIFT)
    assert found.moved_at == pytest.approx(first.moved_at + SHIFT)
    ((_, ended_at),) = stored.ended
    assert ended_at == pytest.approx(999.0 + SHIFT)


async def test_in_the_same_boot_a_step_of_the_wall_clock_moves_no_time_of_a_session(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (store, _):
        store.note_session(renewed())
        store.note_end(DONE._replace(key=KEY._replace(id="over")), 999.0)
    stored = await kept(tmp_path, Hands(1010.0, 1_800_003_600.0))
    assert stored.sessions == (renewed(),)
    assert [ended_at for _, ended_at in stored.ended] == [999.0]


# -- what goes


async def test_a_session_that_had_reached_the_disk_is_gone_once_forgotten(tmp_path: Path) -> None:
    other = renewed()._replace(key=KEY._replace(id="other"))
    async with opened(tmp_path) as (store, _):
        store.note_session(renewed())
        store.note_session(other)
    async with opened(tmp_path) as (store, stored):
        assert len(stored.sessions) == 2
        store.forget(KEY)
    assert (await kept(tmp_path)).sessions == (other,)


async def test_a_hold_whose_time_is_over_is_gone_and_no_other(tmp_path: Path) -> None:
    others = (replace(HOLD, uid=1001), replace(HOLD, owner=OWNER._replace(id="99:34:boot")))
    async with opened(tmp_path) as (store, _):
        for hold in (HOLD, *others):
            await store.put_hold(KEY, hold)
        store.drop_hold(KEY, HOLD.uid, OWNER)
    (session,) = (await kept(tmp_path)).sessions
    assert set(session.holds) == set(others)


async def delete_hold(store: Store) -> None:
    with pytest.raises(StoreWriteError):
        await store.delete_hold(KEY, HOLD.uid, OWNER)


async def drop_hold(store: Store) -> None:
    store.drop_hold(KEY, HOLD.uid, OWNER)


async def forget(store: Store) -> None:
    with pytest.raises(StoreWriteError):
        await store.delete_hold(KEY, HOLD.uid, OWNER)
    store.forget(KEY)


async def note_end(store: Store) -> None:
    store.note_end(DONE, 999.0)


@asynccontextmanager
async def read_only(store: Store) -> AsyncIterator[None]:
    """Let nothing be written while the block runs."""

    await tell(store, "PRAGMA query_only = 1")
    yield
    with pytest.raises(StoreWriteError):
        await store.put_hold(KEY._replace(id="refused"), HOLD)
    await tell(store, "PRAGMA query_only = 0")


@pytest.mark.parametrize(
    ("remove", "left"),
    [
        (delete_hold, Stored((renewed(),))),
        (drop_hold, Stored((renewed(),))),
        (forget, Stored()),
        (note_end, Stored((), ((DONE, 999.0),))),
    ],
)
async def test_what_cannot_be_removed_now_is_removed_later(
    remove: Callable[[Store], Awaitable[None]], left: Stored, tmp_path: Path
) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.note_session(renewed())
    async with opened(tmp_path) as (store, stored):
        assert len(stored.sessions) == 1
        async with read_only(store):
            await remove(store)
    assert await kept(tmp_path) == left


async def test_what_goes_of_two_sessions_while_nothing_can_be_written_goes_of_both(
    tmp_path: Path,
) -> None:
    names = ("ended-1", "ended-2", "forgotten-1", "forgotten-2")
    keys = [KEY._replace(id=name) for name in names]
    async with opened(tmp_path) as (store, _):
        for key in keys:
            store.note_session(renewed()._replace(key=key))
            if key.id.startswith("ended"):
                await store.put_hold(key, HOLD)
    async with opened(tmp_path) as (store, stored):
        assert len(stored.sessions) == len(keys)
        async with read_only(store):
            for key in keys:
                if key.id.startswith("ended"):
                    store.note_end(DONE._replace(key=key), 999.0)
                else:
                    store.forget(key)
    stored = await kept(tmp_path)
    assert stored.sessions == ()
    assert [session.key.id for session, _ in stored.ended] == ["ended-1", "ended-2"]


# -- errors


async def test_a_file_that_cannot_be_written_is_named_in_sqlites_words(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _), read_only(store):
        with pytest.raises(StoreWriteError) as refused:
            await store.put_hold(KEY, HOLD)
        error = refused.value
        assert error.errno == errno.EIO
        assert error.strerror == "attempt to write a readonly database"
        assert error.filename == str(tmp_path / "state.db")


async def test_a_value_that_cannot_be_written_is_not_repeated(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        with pytest.raises(StoreWriteError) as refused:
            await store.put_hold(KEY, replace(HOLD, note="\ud800"))
        error = refused.value
        assert error.errno == errno.EINVAL
        assert error.strerror == "it contains a text or number that cannot be stored"
        assert error.filename == str(tmp_path / "state.db")
