"""What a look at a file leads to, as a pure function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keepalived.lease.model import Kind, SessionKey
from keepalived.settings import Line
from keepalived.sources.changes import Entries, compare
from keepalived.sources.survey import Survey
from tests.support.yaml_house import settings


def key(name: str) -> SessionKey:
    return SessionKey("lab", Kind.UPDATE, name)


def entry(name: str, **fields: Any) -> tuple[SessionKey, Line]:
    return key(name), Line(**fields)


def entries(*given: tuple[SessionKey, Line]) -> Entries:
    return dict(given)


A, B = key("a"), key("b")


def test_new_entries_are_taken() -> None:
    changes = compare({}, entries(entry("a"), entry("b")), certain=False)
    assert (changes.taken, changes.updated, changes.let_go) == ((A, B), (), ())


def test_what_stands_as_it_stood_is_left_alone() -> None:
    before = entries(entry("a", progress=5, note="x"))
    after = entries(entry("a", progress=5, note="x"))
    changes = compare(before, after, certain=False)
    assert (changes.taken, changes.updated, changes.let_go) == ((), (), ())


def test_progress_alone_is_an_update() -> None:
    for before, after in (
        (entry("a"), entry("a", progress=5)),
        (entry("a", progress=5), entry("a", progress=3)),
        (entry("a", progress=5), entry("a", bytes_done=1, bytes_total=2)),
        (entry("a", bytes_done=1), entry("a", bytes_done=2)),
    ):
        changes = compare(entries(before), entries(after), certain=False)
        assert (changes.taken, changes.updated) == ((), (A,))


def test_any_other_change_is_taken_as_new() -> None:
    for after in (entry("a", note="x"), entry("a", max_lifetime=60)):
        changes = compare(entries(entry("a")), entries(after), certain=False)
        assert (changes.taken, changes.updated) == ((A,), ())


def test_what_very_many_say_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "sessions.yaml"
    file.write_text("sessions:\n- {id: a}\n- {id: b, vcenter: lab}\n- {id: c, note: x}\n")
    there = settings(tmp_path, "lab", session_files=[str(file)])
    (news,) = Survey(there, tmp_path / "config.yaml", afresh=True).news({})[1:]
    assert news.known is not None
    lines = news.known.entries
    assert lines[A] is lines[B] == Line()
    assert lines[key("c")] == Line(note="x")


def test_what_is_missed_once_is_kept_and_twice_is_let_go() -> None:
    before = entries(entry("a"), entry("b"))
    once = compare(before, entries(entry("b")), certain=False)
    assert (once.let_go, once.missed, once.applied) == ((), frozenset({A}), before)
    twice = compare(once.applied, entries(entry("b")), once.missed, certain=False)
    assert (twice.let_go, twice.missed, twice.applied) == ((A,), frozenset(), entries(entry("b")))


def test_what_is_back_in_time_was_never_gone() -> None:
    before = entries(entry("a"))
    once = compare(before, {}, certain=False)
    back = compare(once.applied, before, once.missed, certain=False)
    assert (back.taken, back.let_go, back.missed) == ((), (), frozenset())


def test_certainly_missing_is_let_go_at_once() -> None:
    changes = compare(entries(entry("a")), {}, certain=True)
    assert (changes.let_go, changes.missed, changes.applied) == ((A,), frozenset(), {})


_ENTRIES = st.dictionaries(
    st.sampled_from([key(name) for name in "abcdef"]),
    st.builds(
        Line,
        progress=st.none() | st.integers(0, 3),
        note=st.sampled_from(["", "x"]),
    ),
)


@given(st.lists(_ENTRIES, min_size=1))
def test_two_looks_at_the_same_file_leave_exactly_what_it_says(versions: list[Entries]) -> None:
    applied: Entries = {}
    missed: frozenset[SessionKey] = frozenset()
    held: dict[SessionKey, Line] = {}
    for wanted in [*versions, versions[-1]]:
        changes = compare(applied, wanted, missed, certain=False)
        for taken in (*changes.taken, *changes.updated):
            held[taken] = changes.applied[taken]
        for gone in changes.let_go:
            del held[gone]
        assert held == changes.applied
        assert all(held[each] == wanted[each] for each in wanted)
        applied, missed = changes.applied, changes.missed
    assert held == versions[-1]
