"""Incomplete rows, and rows with boundary values."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keepalived.lease.answers import ItemInfo
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.progress import Progress
from keepalived.lease.session import Session
from keepalived.store.loading import Stored
from tests.support.state_file import DONE, HOLD, KEY, Hands, change_by_hand, kept, opened, renewed

OTHER = KEY._replace(id="other")
HALF_AN_END = "state, reason and time of its end do not fit together"


async def edited(folder: Path, assignment: str) -> tuple[Stored, list[str]]:
    """Return what is read after a row was changed by hand, and the reasons why one is not."""
    async with opened(folder) as (store, _):
        await store.put_hold(KEY, HOLD)
        store.note_session(renewed())
    change_by_hand(folder, f"UPDATE {assignment}")
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


def all_rows(folder: Path, table: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as database:
        database.text_factory = bytes
        # The tables of this test.
        return database.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("hold", "kind = 'subscription'", "kind is unknown to this release"),
        ("hold", "owner_kind = 'moon'", "owner_kind is unknown"),
        ("hold", "percent = 40", "not both"),
        ("hold", "done = 11", "more than the total"),
        ("hold", "since_boot = 'yesterday'", "since_boot cannot be a text"),
        ("hold", "until_wall = x'00'", "until_wall cannot be bytes"),
        ("hold", "note = CAST(x'ff41' AS TEXT)", "note cannot be bytes"),
        ("hold", "note = NULL", "note cannot be missing"),
        ("hold", "uid = 1.5", "uid cannot be a fraction"),
        ("hold", "id = '../../session'", "not a session id"),
        ("hold", "token = 'in' || char(10) || 'valid'", "an API token consists"),
        ("session", "kind = 'subscription'", "kind is unknown"),
        ("session", "state = 'ASLEEP'", HALF_AN_END),
        ("session", "state = 'ACTIVE', reason = '', ended_boot = 1, ended_wall = 1", HALF_AN_END),
        ("session", "ended_boot = 1.0, ended_wall = 1.0", HALF_AN_END),
        ("session", "state = 'DONE', ended_boot = 1.0, ended_wall = 1.0", HALF_AN_END),
        ("session", "state = 'DONE', reason = 'completed'", HALF_AN_END),
        ("session", "state = 'DONE', reason = 'completed', ended_boot = 1.0", HALF_AN_END),
        ("session", "renewals = 'many'", "renewals cannot be a text"),
        ("session", "lifetime = NULL", "lifetime cannot be missing"),
        ("hold", "since_wall = 1e300", "since_wall is out of range"),
        ("hold", "since_boot = -1e300", "since_boot is out of range"),
        ("hold", "until_wall = 9e999, until_boot = 1.0", "until_wall is out of range"),
        ("hold", "uid = -1", "uid is out of range"),
        ("hold", "uid = 9223372036854775807", "uid is out of range"),
        ("hold", "percent = 101, done = NULL, total = NULL", "percent is out of range"),
        ("hold", "done = -1", "done is out of range"),
        ("hold", "owner_kind = 'ttl', owner_id = 'x'", "could not convert"),
        ("hold", "owner_kind = 'ttl', owner_id = 'nan'", "owner_id is not a number of seconds"),
        ("hold", "owner_kind = 'ttl', owner_id = '0'", "owner_id is not a number of seconds"),
        ("hold", "owner_kind = 'ttl', owner_id = '1e300'", "owner_id is not a number of seconds"),
        ("session", "since_wall = 1e300", "since_wall is out of range"),
        ("session", "renewed_wall = -1e300", "renewed_wall is out of range"),
        ("session", "lifetime = 1e300", "lifetime is out of range"),
        ("session", "lifetime = 0.0", "lifetime is out of range"),
        ("session", "configured_lifetime = 1e-9", "configured_lifetime is out of range"),
        ("session", "configured_lifetime = -5.0", "configured_lifetime is out of range"),
        ("session", "moved_wall = 1e15, moved_boot = 1.0", "moved_wall is out of range"),
        ("session", "renewals = -1", "renewals is out of range"),
    ],
)
async def test_a_row_that_means_nothing_is_named_and_left_and_stops_no_other(
    table: str, change: str, reason: str, tmp_path: Path
) -> None:
    async with opened(tmp_path) as (store, _):
        for key in (KEY, OTHER):
            await store.put_hold(key, HOLD)
            store.note_session(renewed()._replace(key=key))
    # The words of this test.
    change_by_hand(tmp_path, f"UPDATE {table} SET {change} WHERE id = '{KEY.id}'")  # noqa: S608
    before = all_rows(tmp_path, table)
    with capture_logs() as logs:
        stored = await kept(tmp_path)
    found = {session.key: session for session in stored.sessions}
    assert found.pop(OTHER) == renewed()._replace(key=OTHER, holds=(HOLD,))
    assert [session.holds for session in found.values()] == [() if table == "hold" else (HOLD,)]
    (line,) = (line for line in logs if line["event"] == "state_row_ignored")
    assert (line["table"], line["vcenter"]) == (table, "lab")
    assert line["session_id"] in (KEY.id, "../../session")
    assert reason in line["reason"]
    assert all_rows(tmp_path, table) == before


@pytest.mark.parametrize("seconds", ["0.5", "1", "120"])
async def test_a_short_time_limit_is_one(seconds: str, tmp_path: Path) -> None:
    limited = replace(HOLD, owner=Owner(OwnerKind.TIME_LIMIT, seconds))
    assert await read_hold(tmp_path, limited) == limited


async def test_a_token_that_was_kept_counts_as_one_that_has_renewed_its_session(
    tmp_path: Path,
) -> None:
    found = await read_hold(tmp_path, replace(HOLD, token=LentToken("lent")))
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
    other = DONE._replace(key=OTHER)
    async with opened(tmp_path) as (store, _):
        store.note_end(DONE, 999.0)
        store.note_end(other, 999.0)
        await store.put_hold(KEY, HOLD)
    stored = await kept(tmp_path)
    assert stored.sessions == (Session(KEY, 0.0, 0.0, HOLD.since, 0.0, (HOLD,)),)
    assert stored.ended == ((other, 999.0),)
