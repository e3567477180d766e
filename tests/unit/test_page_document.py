"""The status page as HTML: nothing that it shows can become markup, and what has to be there is."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.host.slices import run_at_once
from keepalived.keeper.snapshot import Snapshot, VCenterView
from keepalived.lease.answers import FileInfo, ItemInfo, Outcome
from keepalived.lease.endings import Ending
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import Progress
from keepalived.lease.session import Session
from keepalived.observe.page.document import document
from keepalived.observe.page.elements import LONGEST_TEXT, Html, tag, text
from keepalived.observe.page.view_model import DaemonView, collect_content
from tests.support.sessions import a_session

NOW = 1000.0
GIB = 1024**3
DAEMON = DaemonView("1.2.3", 1_800_000_000.0, 3700.0)
LAB = VCenterView("lab", up=True, in_flight=1, utilization=0.25)
KEY = SessionKey("lab", Kind.UPDATE, "815994e5:9c7e16e9")
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)

Element = tuple[str, tuple[tuple[str, str | None], ...]]


class Reader(HTMLParser):
    """Reads a page as a browser would: its elements in order, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def shown(*sessions: Session, vcenters: tuple[VCenterView, ...] = (LAB,)) -> str:
    ended_at = {each.key: NOW - 90 for each in sessions if each.state.is_final}
    return document(
        run_at_once(collect_content(Snapshot(NOW, sessions, vcenters, ended_at), DAEMON))
    )


def with_texts(words: str) -> tuple[Session, ...]:
    """Return sessions that hold a text in each place that somebody else may fill."""
    alive = a_session(KEY, deadline=NOW + 100)
    ending = Ending(State.ERROR, f"x{words}", f"x{words}", content_moved=False)
    item = ItemInfo("item-id", f"x{words}", "1", f"x{words}")
    file = FileInfo(f"x{words}", "PUSH", "ERROR", 5, None, f"x{words}")
    hold = Hold(0, Owner(OwnerKind.NONE), 0.0, None, note=f"x{words}")
    return (
        alive._replace(item=item, files=(file,), holds=(hold,), tries=2, last_error=f"x{words}"),
        a_session(KEY._replace(id="gone"), State.ERROR)._replace(item=item, ending=ending),
    )


@given(ANY_TEXT)
def test_no_text_becomes_markup(words: str) -> None:
    page = shown(*with_texts(words))

    assert Reader(page).elements == Reader(shown(*with_texts(""))).elements
    page.encode()


@given(ANY_TEXT)
def test_a_text_stays_within_its_attribute(words: str) -> None:
    (element,) = Reader(tag("p", title=words, id="after")).elements
    assert [name for name, _ in element[1]] == ["title", "id"]


@pytest.mark.parametrize(
    "words",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "&lt;script&gt;",
        "</title></head><body>",
        "<!-- ",
    ],
)
def test_what_looks_like_markup_is_read_as_it_was_written(words: str) -> None:
    assert Reader(shown(*with_texts(words))).text.count(f"x{words}") >= 7


def test_what_cannot_be_printed_is_replaced_and_what_is_long_cut() -> None:
    assert text("a\nb\tc\u202edcba\x00\ud800") == "a b c\ufffddcba\ufffd\ufffd"
    assert text("x" * 10_000) == "x" * LONGEST_TEXT + "…"


def test_attributes_without_a_value_and_none_at_all() -> None:
    built = tag("p", Html("<b>"), "<b>", hidden=True, id=None, open=False, class_="a", value=0.5)
    assert built == '<p hidden class="a" value="0.5"><b>&lt;b&gt;</p>'


def test_bars_of_progress_and_of_time_left() -> None:
    session = a_session(KEY, deadline=NOW + 148.2, library="isos", item="debian-12")._replace(
        files=(FileInfo("a", "PUSH", "READY", GIB, GIB), FileInfo("b", "PUSH", "X", GIB, 3 * GIB)),
        holds=(Hold(0, Owner(OwnerKind.PROCESS, "7"), 0.0, None, Progress(percent=42)),),
    )

    read = Reader(shown(session))

    assert "isos/debian-12" in read.text
    assert "42 % · 2.0 GiB of 4.0 GiB" in read.text
    assert "2 m 28 s left of 5 m" in read.text
    bars = {name: dict(attributes) for name, attributes in read.elements if name == "meter"}
    assert bars["meter"] | {"aria-label": ""} == {
        "value": "148.2",
        "max": "300",
        "low": "60",
        "high": "120",
        "optimum": "300",
        "aria-label": "",
    }
    assert ("progress", (("value", "42"), ("max", "100"), ("aria-label", "progress"))) in (
        read.elements
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "progress unknown"),
        ({"files": (FileInfo("a", "PUSH", "X", 5 * GIB, None),)}, "5.0 GiB"),
        ({"files": (FileInfo("a", "PUSH", "X", GIB, 3 * GIB),)}, "33 % · 1.0 GiB of 3.0 GiB"),
        ({"renewed_at": NOW - 312.0}, "overdue by 12 s"),
        ({"renewed_at": None, "state": State.PENDING}, "time left unknown"),
        ({"ending": Ending(State.DONE, "completed")}, "ended; checking the content"),
        ({"tries": 1, "last_error": "refused"}, "1 attempt failed: refused"),
        ({"tries": 3}, "3 attempts in a row failed: no answer"),
        ({"stalled": True, "moved_at": NOW - 1860}, "no bytes received for 31 m"),
        ({"due": NOW + 30}, "in 30 s"),
    ],
)
def test_how_a_session_stands_is_said_in_words(change: dict[str, object], words: str) -> None:
    session = a_session(KEY, deadline=NOW + 100)._replace(**change)  # type: ignore[arg-type]
    assert words in Reader(shown(session)).text


def test_ends_say_what_became_of_the_content_and_what_the_server_said() -> None:
    ending = Ending(State.ERROR, "the server reports an error", "checksum mismatch", False)
    session = a_session(KEY, State.ERROR)._replace(ending=ending)

    read = re.sub(r"\s+", " ", Reader(shown(session)).text)

    assert "ERROR" in read
    assert "the server reports an error; no content arrived checksum mismatch 1 m 30 s ago" in read
    assert "No sessions are held" in read


def test_an_empty_daemon_says_how_to_hold_something() -> None:
    read = Reader(shown())

    assert "clkeepalived hold SESSION_ID --pid $$" in read.text
    assert "Nothing is held" in read.text
    assert ("h1", (("class", "idle"),)) in read.elements


def test_the_rest_is_counted() -> None:
    sessions = [a_session(KEY._replace(id=f"s{n}"), deadline=NOW + 150) for n in range(1200)]

    read = Reader(shown(*sessions))

    rows = [dict(each) for name, each in read.elements if name == "li"]
    assert sum("lab/update/" in (row.get("id") or "") for row in rows) == 200
    assert "1,000 more sessions are held, all with more time left." in read.text
    assert "1,200" in read.text


def test_a_vcenter_that_is_down_says_for_how_long_and_why() -> None:
    down = LAB._replace(up=False, down_since=NOW - 170)
    refused = down._replace(name="prod", outcome=Outcome.LOGIN_REFUSED)

    read = Reader(shown(vcenters=(down, refused)))

    assert "no answer for 2 m 50 s" in read.text
    assert "credentials refused for 2 m 50 s" in read.text


def test_ids_are_unique_and_every_label_leads_to_one() -> None:
    elements = Reader(shown(*with_texts(""))).elements
    ids = [value for _, attributes in elements for name, value in attributes if name == "id"]
    labels = [
        v for _, attributes in elements for name, v in attributes if name == "aria-labelledby"
    ]

    assert len(ids) == len(set(ids))
    assert labels
    assert set(labels) <= set(ids)


def test_nothing_on_the_page_needs_what_its_policy_forbids() -> None:
    elements = Reader(shown(*with_texts(""))).elements

    attributes = {name for _, each in elements for name, _ in each}
    assert not [name for name in attributes if name == "style" or name.startswith("on")]
    addresses = [v for _, each in elements for name, v in each if name in ("src", "href")]
    assert set(addresses) == {"page.css", "page.js", "page.svg", "metrics", "healthz", "readyz"}
