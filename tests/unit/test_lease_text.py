"""The basic types of the core: ids, states, outcomes, progress and holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived.lease import holds as rules
from keepalived.lease.answers import Outcome
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import FINAL_STATES, State, check_session_id
from keepalived.lease.progress import Progress, highest, value_to_send
from tests.support.examples import examples

thoroughly = settings(max_examples=examples(200))

FILE = Owner(OwnerKind.FILE, "/etc/clkeepalived/sessions.d/a.yaml")
JOB = Owner(OwnerKind.PROCESS, "4711")

percents = st.none() | st.integers(0, 100)


def hold(
    uid: int = 0, owner: Owner = FILE, until: float | None = None, percent: int | None = None
) -> Hold:
    return Hold(uid, owner, since=100.0, until=until, progress=Progress(percent))


# -- ids


@pytest.mark.parametrize("text", ["a", "815994e5-3e2b:9c7e16e9", "A.b_c:d-1", "...", "x" * 255])
def test_session_ids(text: str) -> None:
    assert check_session_id(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must not be empty"),
        (".", "not a session id"),
        ("..", "not a session id"),
        ("../session", "not a session id"),
        ("a/b", "not a session id"),
        ("a\\b", "not a session id"),
        ("a%2fb", "not a session id"),
        ("a\n", "not a session id"),
        ("a\x00", "not a session id"),
        ("ä", "not a session id"),
        ("x" * 256, "at most 255 characters"),
    ],
)
def test_what_cannot_be_a_session_id(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_session_id(text)


@given(st.text(max_size=20))
@thoroughly
def test_an_accepted_id_cannot_leave_its_place_in_a_path(text: str) -> None:
    try:
        check_session_id(text)
    except ValueError:
        return
    assert text.isascii()
    assert not set(text) & set("/\\%?#@ \t\r\n")
    assert text not in ("", ".", "..")


# -- states and outcomes


def test_all_states_but_two_are_final() -> None:
    assert set(State) - set(FINAL_STATES) == {State.PENDING, State.ACTIVE}


def test_failures_are_the_ends_that_lose_work() -> None:
    failures = {state for state in State if state.is_failure}
    assert failures == {State.ERROR, State.EXPIRED, State.NOT_FOUND}


def test_what_speaks_of_the_whole_vcenter() -> None:
    assert {outcome for outcome in Outcome if outcome.is_vcenter_failure} == {
        Outcome.UNAVAILABLE,
        Outcome.TIMED_OUT,
        Outcome.UNREACHABLE,
        Outcome.LOGIN_REFUSED,
    }


# -- progress


@pytest.mark.parametrize(
    ("progress", "value"),
    [
        (Progress(), None),
        (Progress(percent=0), 0),
        (Progress(percent=100), 100),
        (Progress(done=5), None),
        (Progress(total=5), None),
        (Progress(done=0, total=0), None),
        (Progress(done=0, total=7), 0),
        (Progress(done=1, total=3), 33),
        (Progress(done=2, total=3), 66),
        (Progress(done=10**18 - 1, total=10**18), 99),
        (Progress(done=7, total=7), 100),
    ],
)
def test_progress_in_percent(progress: Progress, value: int | None) -> None:
    assert progress.client_progress == value


@given(st.integers(0, 10**15), st.integers(1, 10**15))
@thoroughly
def test_bytes_give_a_percentage_that_is_complete_only_at_the_end(done: int, more: int) -> None:
    unfinished = Progress(done=done, total=done + more).client_progress
    assert unfinished is not None
    assert 0 <= unfinished < 100


@pytest.mark.parametrize(
    ("percent", "done", "total", "words"),
    [
        (101, None, None, "from 0 to 100, not 101"),
        (-1, None, None, "from 0 to 100, not -1"),
        (10, 5, 50, "in percent or in bytes, not both"),
        (10, None, 50, "in percent or in bytes, not both"),
        (None, -5, None, "bytes done must be at least 0, not -5"),
        (None, None, -5, "bytes total must be at least 0, not -5"),
        (None, 6, 5, "6 bytes done are more than the total of 5"),
    ],
)
def test_impossible_progress_is_refused_in_words(
    percent: int | None, done: int | None, total: int | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Progress(percent, done, total)


@given(percents, percents)
@thoroughly
def test_only_what_rises_is_sent(wanted: int | None, acknowledged: int | None) -> None:
    sent = value_to_send(wanted, acknowledged)
    if sent is None:
        assert wanted is None or (acknowledged is not None and wanted <= acknowledged)
    else:
        assert sent == wanted
        assert acknowledged is None or sent > acknowledged


@given(percents, percents)
@thoroughly
def test_the_highest_of_two_values_either_of_which_may_be_unknown(
    first: int | None, second: int | None
) -> None:
    known = [value for value in (first, second) if value is not None]
    assert highest(first, second) == max(known, default=None)


# -- holds


def test_a_party_has_one_hold_and_keeps_its_place_and_its_age() -> None:
    first, second = hold(0, FILE), hold(0, JOB)
    later = Hold(0, FILE, since=200.0, until=500.0, progress=Progress(7), note="again")
    holds = rules.with_hold(rules.with_hold(rules.with_hold((), first), second), later)
    assert holds == (Hold(0, FILE, 100.0, 500.0, Progress(7), "again"), second)


def test_parties_differ_by_user_and_by_owner() -> None:
    holds = rules.with_hold(rules.with_hold(rules.with_hold((), hold(0)), hold(1)), hold(0, JOB))
    assert len(holds) == 3
    assert rules.without_hold(holds, 1, FILE) == (hold(0), hold(0, JOB))
    assert rules.without_hold(holds, 1, JOB) == holds


def test_a_hold_is_over_at_its_time_limit() -> None:
    holds = (hold(0, until=None), hold(1, until=500.0), hold(2, until=501.0))
    assert rules.unexpired(holds, 499.9) == holds
    assert rules.unexpired(holds, 500.0) == (holds[0], holds[2])
    assert rules.unexpired(holds, 1e9) == (holds[0],)


def test_the_furthest_progress_of_all_parties_counts() -> None:
    assert rules.client_progress(()) is None
    assert rules.client_progress((hold(0), hold(1))) is None
    assert rules.client_progress((hold(0, percent=3), hold(1), hold(2, percent=2))) == 3


@pytest.mark.parametrize("kind", OwnerKind)
def test_every_hold_ends_some_day(kind: OwnerKind) -> None:
    days = 1 if kind in (OwnerKind.NONE, OwnerKind.DISCOVERY) else 7
    assert rules.latest_until(kind, 1000.0) == 1000.0 + days * 86400
    assert rules.latest_until(kind, 1000.0, max_lifetime=60.0) == 1060.0
