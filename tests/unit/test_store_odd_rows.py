"""Rows that say half of what they should, or just as much as they may."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending
from keepalived.lease.holds import Borrowed, Hold, Owner, OwnerKind
from keepalived.lease.model import State
from keepalived.lease.progress import Progress
from keepalived.lease.session import Session
from keepalived.store.loading import Stored
from tests.support.state_file import HOLD, KEY, Hands, kept, opened, renewed

DONE = renewed()._replace(state=State.DONE, ending=Ending(State.DONE, "completed"))


async def edited(folder: Path, assignment: str) -> tuple[Stored, list[str]]:
    """Return what is read after a row was changed by hand, and the reasons why one is not."""
    async with opened(folder) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.note_session(renewed())
    with contextlib.closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
        database.execute(f"UPDATE {assignment}")
    with capture_logs() as logs:
        stored = await kept(folder)
    return stored, [line["reason"] for line in logs if line["event"] == "state_row_ignored"]


async def read_hold(folder: Path, hold: Hold) -> Hold:
    """Return a hold as it comes back."""
    async with opened(folder) as (store, _):
        await store.put_hold(KEY, hold)
    (session,) = (await kept(folder)).sessions
    (found,) = session.holds
    return found


@pytest.mark.parametrize("missing", ["until_boot", "until_wall"])
async def test_a_time_of_which_half_is_missing_is_none(missing: str, tmp_path: Path) -> None:
    stored, ignored = await edited(tmp_path, f"hold SET {missing} = NULL")
    assert ignored == []
    assert [hold.until for hold in stored.sessions[0].holds] == [None]


async def test_without_the_id_of_a_boot_times_go_by_the_wall(tmp_path: Path) -> None:
    async with opened(tmp_path, boot_id="") as (store, _):
        await store.put_hold(KEY, HOLD)
    stored = await kept(tmp_path, Hands(20.0, 1_800_000_250.0), "")
    assert stored.sessions[0].holds[0].since == pytest.approx(HOLD.since - 1230.0)


@pytest.mark.parametrize(
    ("hold", "session"),
    [
        (replace(HOLD, progress=Progress(100)), renewed()),
        (replace(HOLD, uid=2**32 - 1), renewed()),
        (replace(HOLD, progress=Progress(done=2**63 - 1)), renewed()._replace(renewals=2**63 - 1)),
    ],
)
async def test_the_most_that_there_can_be_is_read(
    hold: Hold, session: Session, tmp_path: Path
) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, hold)
        store.note_session(session)
    assert (await kept(tmp_path)).sessions == (session._replace(holds=(hold,)),)


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("hold SET since_wall = 1e300", "since_wall is out of range"),
        ("hold SET percent = 101, done = NULL, total = NULL", "percent is out of range"),
        ("hold SET owner_kind = 'ttl', owner_id = '0'", "owner_id is no number of seconds"),
        ("hold SET owner_kind = 'ttl', owner_id = '1e300'", "owner_id is no number of seconds"),
    ],
)
async def test_what_cannot_be_meant_is_named(assignment: str, reason: str, tmp_path: Path) -> None:
    _, ignored = await edited(tmp_path, assignment)
    assert ignored == [reason]


@pytest.mark.parametrize(
    "assignment",
    [
        "state = 'DONE', ended_boot = 1.0, ended_wall = 1.0",
        "state = 'DONE', reason = 'completed'",
        "state = 'DONE', reason = 'completed', ended_boot = 1.0",
    ],
)
async def test_an_end_of_which_a_part_is_missing_is_none_that_can_be_read(
    assignment: str, tmp_path: Path
) -> None:
    stored, ignored = await edited(tmp_path, f"session SET {assignment}")
    assert ignored == ["state, reason and time of its end are none that fit together"]
    assert [session.holds for session in stored.sessions] == [(HOLD,)]


@pytest.mark.parametrize("seconds", ["0.5", "1"])
async def test_a_short_time_limit_is_one(seconds: str, tmp_path: Path) -> None:
    limited = replace(HOLD, owner=Owner(OwnerKind.TIME_LIMIT, seconds))
    assert await read_hold(tmp_path, limited) == limited


async def test_a_token_that_was_kept_counts_as_one_that_has_renewed_its_session(
    tmp_path: Path,
) -> None:
    found = await read_hold(tmp_path, replace(HOLD, token=Borrowed("lent")))
    assert found.token is not None
    assert (found.token.value, found.token.proven) == ("lent", True)


@pytest.mark.parametrize(
    ("missing", "item"),
    [
        ("item_id", ItemInfo("", "disk", "3", "Templates")),
        ("content_version", ItemInfo("item-1", "disk", "3", "Templates")),
    ],
)
async def test_of_a_target_of_which_half_is_missing_nothing_is_known(
    missing: str, item: ItemInfo, tmp_path: Path
) -> None:
    stored, ignored = await edited(tmp_path, f"session SET {missing} = NULL")
    assert ignored == []
    assert [(session.target, session.item) for session in stored.sessions] == [(None, item)]


async def test_a_hold_that_came_after_the_end_is_on_the_same_session(tmp_path: Path) -> None:
    other = DONE._replace(key=KEY._replace(id="other"))
    async with opened(tmp_path) as (store, _):
        store.note_end(DONE, 999.0)
        store.note_end(other, 999.0)
        await store.put_hold(KEY, HOLD)
    stored = await kept(tmp_path)
    assert stored.sessions == (Session(KEY, 0.0, 0.0, HOLD.since, 0.0, (HOLD,)),)
    assert stored.ended == ((other, 999.0),)
