"""What a look at a file leads to, as a pure function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keepalived.lease.model import Kind, SessionKey
from keepalived.settings import SessionOptions
from keepalived.sources.changes import Entries, FileChange, FileState, reconcile
from keepalived.sources.file_scan import FileScan
from tests.support.yaml_site import settings


def key(name: str) -> SessionKey:
    return SessionKey("lab", Kind.UPDATE, name)


def entry(name: str, **fields: Any) -> tuple[SessionKey, SessionOptions]:
    return key(name), SessionOptions(**fields)


def entries(*given: tuple[SessionKey, SessionOptions]) -> Entries:
    return dict(given)


def compare(before: FileState | Entries, wanted: Entries, *, certain: bool) -> FileChange:
    state = before if isinstance(before, FileState) else FileState(entries=before)
    return reconcile("s.yaml", state, wanted, is_final=certain)


A, B = key("a"), key("b")


def test_new_entries_are_taken() -> None:
    change = compare({}, entries(entry("a"), entry("b")), certain=False)
    assert (change.taken, change.updated, change.released) == ((A, B), (), ())


def test_what_stands_as_it_stood_is_left_alone() -> None:
    before = entries(entry("a", progress=5, note="x"))
    after = entries(entry("a", progress=5, note="x"))
    change = compare(before, after, certain=False)
    assert (change.taken, change.updated, change.released) == ((), (), ())


def test_progress_alone_is_an_update() -> None:
    for before, after in (
        (entry("a"), entry("a", progress=5)),
        (entry("a", progress=5), entry("a", progress=3)),
        (entry("a", progress=5), entry("a", bytes_done=1, bytes_total=2)),
        (entry("a", bytes_done=1), entry("a", bytes_done=2)),
    ):
        change = compare(entries(before), entries(after), certain=False)
        assert (change.taken, change.updated) == ((), (A,))


def test_any_other_change_is_taken_as_new() -> None:
    for after in (entry("a", note="x"), entry("a", max_lifetime=60)):
        change = compare(entries(entry("a")), entries(after), certain=False)
        assert (change.taken, change.updated) == ((A,), ())


def test_what_very_many_say_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "sessions.yaml"
    file.write_text("sessions:\n- {id: a}\n- {id: b, vcenter: lab}\n- {id: c, note: x}\n")
    there = settings(tmp_path, "lab", session_files=[str(file)])
    (change,) = FileScan(there, tmp_path / "config.yaml", {}, afresh=True).run()[1:]
    lines = change.state.entries
    assert lines[A] is lines[B] == SessionOptions()
    assert lines[key("c")] == SessionOptions(note="x")


def test_what_is_missed_once_is_kept_and_twice_is_let_go() -> None:
    before = entries(entry("a"), entry("b"))
    once = compare(before, entries(entry("b")), certain=False)
    assert (once.released, once.state) == ((), FileState(entries=before, missed=frozenset({A})))
    twice = compare(once.state, entries(entry("b")), certain=False)
    assert (twice.released, twice.state) == ((A,), FileState(entries=entries(entry("b"))))


def test_what_is_back_in_time_was_never_gone() -> None:
    before = entries(entry("a"))
    once = compare(before, {}, certain=False)
    back = compare(once.state, before, certain=False)
    assert (back.taken, back.released, back.state) == ((), (), FileState(entries=before))


def test_certainly_missing_is_let_go_at_once() -> None:
    change = compare(entries(entry("a")), {}, certain=True)
    assert (change.released, change.state) == ((A,), FileState())


_ENTRIES = st.dictionaries(
    st.sampled_from([key(name) for name in "abcdef"]),
    st.builds(
        SessionOptions,
        progress=st.none() | st.integers(0, 3),
        note=st.sampled_from(["", "x"]),
    ),
)


@given(st.lists(_ENTRIES, min_size=1))
def test_two_looks_at_the_same_file_leave_exactly_what_it_says(versions: list[Entries]) -> None:
    state = FileState()
    held: dict[SessionKey, SessionOptions] = {}
    for wanted in [*versions, versions[-1]]:
        change = compare(state, wanted, certain=False)
        state = change.state
        for taken in (*change.taken, *change.updated):
            held[taken] = state.entries[taken]
        for gone in change.released:
            del held[gone]
        assert held == state.entries
        assert all(held[each] == wanted[each] for each in wanted)
    assert held == versions[-1]
