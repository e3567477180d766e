"""Parsing answers: valid ones, and invalid ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.lease.answers import FileInfo, ItemInfo, SessionInfo
from keepalived.vcenter import parsing

DATE = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)
HEADERS = {"date": format_datetime(DATE, usegmt=True)}


def expiring(moment: str, date: str = HEADERS["date"]) -> float | None:
    session = {"id": "a", "state": "ACTIVE", "expiration_time": moment}
    return parsing.session_info(session, {"date": date}).lifetime_left


def test_a_session() -> None:
    session = {
        "id": "a:b",
        "state": "ERROR",
        "library_item_id": "item",
        "library_item_content_version": "3",
        "client_progress": 40,
        "expiration_time": "2027-01-15T08:05:00.000Z",
        "error_message": {"id": "x", "default_message": "The disk is full.", "args": []},
    }
    assert parsing.session_info(session, HEADERS) == SessionInfo(
        "a:b", "ERROR", "item", "3", 40, 300.0, "The disk is full.", DATE.timestamp() + 300
    )


def test_a_session_as_rest_tells_it() -> None:
    # Zero and absent fields are left out, and numbers may be texts.
    assert parsing.session_info({"state": "ACTIVE"}, {}) == SessionInfo("", "ACTIVE")
    session = {"state": "ACTIVE", "client_progress": "40", "library_item_content_version": 3}
    info = parsing.session_info(session, {})
    assert (info.client_progress, info.content_version) == (40, "3")


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("2027-01-15T08:05:00.000Z", 300.0),
        ("2027-01-15T08:05:00Z", 300.0),
        ("2027-01-15T08:04:59.500Z", 299.5),
        ("2027-01-15T09:05:00+01:00", 300.0),
        ("2027-01-15T08:05:00", 300.0),
        ("2027-01-15T07:59:00Z", -60.0),
        ("tomorrow", None),
        ("", None),
        ("9999-12-31T23:59:59-23:59", 251_602_387_139.0),
    ],
)
def test_what_is_left_counts_on_the_servers_own_clock(moment: str, left: float | None) -> None:
    assert expiring(moment) == left


@pytest.mark.parametrize("hours", [-48, -1, 1, 48])
def test_a_server_whose_clock_is_off_teaches_the_same(hours: int) -> None:
    skewed = DATE + timedelta(hours=hours)
    moment = (skewed + timedelta(seconds=300)).isoformat()
    assert expiring(moment, format_datetime(skewed, usegmt=True)) == 300.0


@pytest.mark.parametrize(
    "date",
    ["", "soon", "Fri, 99 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:00:00 +999999999999"],
)
def test_without_a_date_nothing_is_learned(date: str) -> None:
    assert expiring("2027-01-15T08:05:00Z", date) is None


async def test_files() -> None:
    answer = [
        {"name": "a.vmdk", "source_type": "PUSH", "status": "TRANSFERRING", "bytes_transferred": 7},
        {"name": "b.ova", "source_type": "PULL", "status": "READY", "size": 2**40},
        {"name": "c", "status": "ERROR", "error_message": {"default_message": "Broken."}},
    ]
    assert await parsing.file_infos(answer) == (
        FileInfo("a.vmdk", "PUSH", "TRANSFERRING", 7),
        FileInfo("b.ova", "PULL", "READY", 0, 2**40),
        FileInfo("c", "NONE", "ERROR", error_message="Broken."),
    )


async def test_ids_items_and_names() -> None:
    assert await parsing.ids(["a", "b:c"]) == ("a", "b:c")
    item = {"id": "i", "name": "image", "content_version": "2", "library_id": "l"}
    assert parsing.item_info(item) == (ItemInfo("i", "image", "2"), "l")
    assert parsing.item_info({"id": "i"}) == (ItemInfo("i", "", None), None)
    assert parsing.item_info({"name": "image"}) == (ItemInfo("", "image", None), None)
    with pytest.raises(parsing.FormError, match="neither id nor name"):
        parsing.item_info({})
    assert parsing.text_of({"name": "isos"}, "name") == "isos"


async def test_texts_are_made_fit_to_be_shown() -> None:
    file = {"name": "\x1b[31mred\r\n", "status": "READY\ud800"}
    (info,) = await parsing.file_infos([file])
    assert info.name == r"\x1b[31mred\r\n"
    assert info.status == r"READY\ud800"
    long = parsing.session_info(
        {"state": "ERROR", "error_message": {"default_message": "x" * 10_000}}, {}
    )
    assert long.error_message == "x" * 1000


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"state": None},
        {"state": ["ACTIVE"]},
        {"state": True},
        {"state": {}},
        {"state": "ACTIVE", "client_progress": "ten"},
        {"state": "ACTIVE", "client_progress": -1},
        {"state": "ACTIVE", "client_progress": 1.5},
        {"state": "ACTIVE", "client_progress": True},
        {"state": "ACTIVE", "client_progress": 2**63},
        {"state": "ACTIVE", "client_progress": 10**400},
        {"state": "ACTIVE", "client_progress": float("nan")},
        {"state": "ACTIVE", "library_item_id": {"id": "x"}},
        {"state": "ACTIVE", "expiration_time": [2027, 1, 15]},
        None,
        [],
        "ACTIVE",
        7,
    ],
)
def test_sessions_that_cannot_be(fields: object) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        parsing.session_info(fields, HEADERS)


@pytest.mark.parametrize("answer", [["a"], [None], [{"bytes_transferred": "x"}], [{"size": -1}]])
async def test_files_that_cannot_be(answer: list[object]) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        await parsing.file_infos(answer)


@pytest.mark.parametrize("answer", [[None], [{}], [[]], [1.5], [True]])
async def test_ids_that_cannot_be(answer: list[object]) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        await parsing.ids(answer)


@pytest.mark.parametrize("answer", [{}, "ab", 7, True])
def test_lists_that_are_none(answer: object) -> None:
    with pytest.raises(parsing.FormError, match="a list was expected, not "):
        parsing.list_of(answer)


def test_no_list_is_an_empty_one() -> None:
    """As govmomi's simulator says that there are no files."""
    assert parsing.list_of(None) == []


@pytest.mark.parametrize("answer", [None, "", 7, {}, ["t"], "a\nb", "a\r\nx: y", "tök", "\ud800"])
def test_tokens_that_cannot_stand_in_a_header(answer: object) -> None:
    with pytest.raises(ValueError, match="has no token"):
        parsing.token(answer)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("0.5", 0.5),
        ("Fri, 15 Jan 2027 08:00:45 GMT", 45.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("-5", None),
        ("inf", None),
        ("nan", None),
        ("9" * 400, None),
        ("", None),
        ("later", None),
        ("Fri, 15 Jan 2027 08:00:00 +999999999999", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert parsing.retry_after({"retry-after": text, **HEADERS}) == seconds


def test_retry_after_as_a_date_of_a_server_that_does_not_tell_its_own() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1000)
    seconds = parsing.retry_after({"retry-after": format_datetime(soon, usegmt=True)})
    assert seconds is not None
    assert 0 < seconds <= 1000
    assert parsing.retry_after({}) is None


_NAMES = st.sampled_from(
    [
        *("id", "state", "library_item_id", "library_item_content_version", "client_progress"),
        *("expiration_time", "error_message", "default_message", "name", "status", "size"),
        *("bytes_transferred", "source_type", "content_version", "library_id"),
    ]
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["ACTIVE", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=8),
    max_leaves=30,
)
_READERS: list[Callable[[Any], object]] = [
    lambda value: parsing.session_info(value, HEADERS),
    lambda value: asyncio.run(parsing.file_infos(parsing.list_of(value))),
    lambda value: asyncio.run(parsing.ids(parsing.list_of(value))),
    parsing.item_info,
    lambda value: parsing.text_of(value, "name"),
    parsing.token,
]


@pytest.mark.parametrize("read", _READERS)
@given(value=_JSON)
def test_whatever_is_said_is_read_or_refused(read: Callable[[Any], object], value: object) -> None:
    with contextlib.suppress(ValueError):
        read(parsing.read_json(json.dumps(value).encode()))


_DATES = st.text() | st.from_regex(
    r"(Mon, )?[0-9]{1,5} (Jan|Feb|Dec) [0-9]{1,6} [0-9:.]{0,12} ?(GMT|[+-][0-9]{0,12}|PST)?",
    fullmatch=True,
)


@given(_DATES, _DATES)
def test_no_header_makes_it_stumble(date: str, retry_after: str) -> None:
    seconds = parsing.retry_after({"retry-after": retry_after, "date": date})
    assert seconds is None or 0 <= seconds < float("inf")
    expiring("2027-01-15T08:05:00Z", date)


@given(st.text() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat))
def test_no_expiration_time_makes_it_stumble(moment: str) -> None:
    left = expiring(moment)
    assert left is None or isinstance(left, float)
