"""What the status page shows: who comes first, how many, and what the verdict is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.host.slices import run_at_once
from keepalived.keeper.snapshot import Snapshot, VCenterView
from keepalived.lease.answers import Outcome
from keepalived.lease.endings import Ending
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import Session
from keepalived.observe.page.view_model import (
    MOST_ENDS,
    MOST_SESSIONS,
    DaemonView,
    Danger,
    PageContent,
    collect_content,
    concerns,
    danger_of,
)
from tests.support.sessions import LIFETIME, a_session

NOW = 1000.0
DAEMON = DaemonView("1.2.3", 1_800_000_000.0, 60.0)
LAB = VCenterView("lab", up=True, in_flight=1, utilization=0.25)


def held(name: str, slack: float | None, **changes: Any) -> Session:
    deadline = None if slack is None else NOW + slack
    state = State.PENDING if slack is None else State.ACTIVE
    session = a_session(SessionKey("lab", Kind.UPDATE, name), state, deadline=deadline)
    return session._replace(**changes)


def over(name: str, state: State) -> Session:
    return a_session(SessionKey("lab", Kind.UPDATE, name), state)._replace(
        ending=Ending(state, "why")
    )


def content(
    *sessions: Session,
    ages: dict[str, float] | None = None,
    vcenters: tuple[VCenterView, ...] = (LAB,),
    daemon: DaemonView = DAEMON,
) -> PageContent:
    """Return the page content for these sessions; `ages` says how long ago sessions ended."""
    ages = ages or {}
    ended_at = {each.key: NOW - ages[each.key.id] for each in sessions if each.key.id in ages}
    return run_at_once(collect_content(Snapshot(NOW, sessions, vcenters, ended_at), daemon))


def said(found: PageContent) -> list[str]:
    return [concern.text for concern in concerns(found)]


def test_the_most_endangered_come_first() -> None:
    found = content(
        held("well", 150.0),
        held("settling", 10.0, ending=Ending(State.DONE, "completed")),
        held("at risk", 119.0),
        held("new", None),
        held("better", 290.0),
        held("overdue", -1.0),
        held("long overdue", -60.0),
        # Less time than the well have, and yet nothing wrong: it lives for a minute only.
        held("short-lived", 50.0, lifetime=60.0, renewed_at=NOW - 10.0),
    )

    assert [each.session.key.id for each in found.held] == [
        *("long overdue", "overdue", "at risk", "new"),
        *("short-lived", "well", "better", "settling"),
    ]
    assert found.counts == {
        Danger.OVERDUE: 2,
        Danger.AT_RISK: 1,
        Danger.UNRENEWED: 1,
        Danger.WELL: 3,
        Danger.SETTLING: 1,
    }


@given(st.lists(st.none() | st.floats(-400, 300), max_size=MOST_SESSIONS + 50))
def test_at_most_two_hundred_are_shown_and_none_in_more_danger_is_left_out(
    slacks: list[float | None],
) -> None:
    sessions = [held(f"s{number}", slack) for number, slack in enumerate(slacks)]

    found = content(*sessions)

    ranks = [danger_of(each, NOW) for each in sessions]
    assert found.total == len(sessions)
    assert len(found.held) == min(len(sessions), MOST_SESSIONS)
    assert [danger_of(each.session, NOW) for each in found.held] == sorted(ranks)[:MOST_SESSIONS]


def test_many_sessions_are_looked_at_in_slices() -> None:
    sessions = tuple(held(f"s{number}", number / 1000) for number in range(20_000))

    steps = collect_content(Snapshot(NOW, sessions[::-1], (LAB,)), DAEMON)

    assert sum(1 for _ in steps) == 10
    assert content(*sessions[::-1]).held[0].session is sessions[0]


def test_a_flood_of_good_ends_does_not_wash_the_losses_away() -> None:
    good = [over(f"good{number}", State.DONE) for number in range(100)]
    lost = [over(f"lost{number}", State.EXPIRED) for number in range(40)]
    ages = {each.key.id: float(age) for age, each in enumerate(good)}
    ages |= {each.key.id: 10_000.0 + age for age, each in enumerate(lost)}

    found = content(*lost, *good, ages=ages)

    assert [each.session for each in found.ends] == [*good[:MOST_ENDS], *lost[:MOST_ENDS]]
    assert [each.ago for each in found.ends] == sorted(each.ago for each in found.ends)
    assert found.ended == 140
    assert found.recently_lost == 0


@pytest.mark.parametrize("state", [State.ERROR, State.EXPIRED, State.REMOVED])
def test_a_loss_is_news_for_a_quarter_of_an_hour(state: State) -> None:
    assert said(content(over("lost", state), ages={"lost": 899.0})) == [
        "1 session lost in the last 15 minutes"
    ]
    assert said(content(over("lost", state), ages={"lost": 901.0})) == []


def test_a_mistyped_id_is_no_loss() -> None:
    found = content(over("mistyped", State.NOT_FOUND), ages={"mistyped": 899.0})
    assert found.recently_lost == 0
    assert said(found) == ["1 session unknown to the vCenter: check the id"]


@pytest.mark.parametrize("state", [State.DONE, State.RELEASED, State.CANCELED])
def test_other_ends_are_no_concern(state: State) -> None:
    assert said(content(over("gone", state), ages={"gone": 1.0})) == []


def test_concerns_come_with_the_worst_first() -> None:
    found = content(
        *(held(f"overdue{number}", -5.0) for number in range(2)),
        held("at risk", 100.0),
        held("failing", None, tries=3),
        held("stalled", 200.0, stalled=True, moved_at=0.0),
        vcenters=(
            LAB,
            LAB._replace(name="prod", up=False, outcome=Outcome.TIMED_OUT, down_since=NOW - 60),
        ),
        daemon=replace(
            DAEMON,
            complaints=("the scheduler of lab has not ticked for 42 s",),
            broken_sources=("/etc/clkeepalived/sessions.d/a.yaml",),
            is_configuration_good=False,
        ),
    )

    assert said(found) == [
        "2 sessions overdue",
        "1 session at risk",
        "the scheduler of lab has not ticked for 42 s",
        "vCenter prod does not answer",
        "1 session could never be renewed",
        "1 upload is stalled",
        "/etc/clkeepalived/sessions.d/a.yaml cannot be read completely",
        "the changed configuration is invalid; the previous one is in force",
    ]


def test_a_session_that_is_new_is_no_concern() -> None:
    assert said(content(held("new", None), held("well", LIFETIME))) == []


@pytest.mark.parametrize(("sessions", "is_urgent"), [((), False), ((held("s", 200.0),), True)])
def test_a_vcenter_that_is_down_is_urgent_where_something_is_held(
    sessions: tuple[Session, ...], is_urgent: bool
) -> None:
    down = LAB._replace(up=False, outcome=Outcome.LOGIN_REFUSED)

    found = list(concerns(content(*sessions, vcenters=(down,))))

    assert [(each.urgent, each.text) for each in found] == [
        (is_urgent, "vCenter lab refuses the daemon's credentials")
    ]
