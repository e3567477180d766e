"""Counts of the session table always equal a count of all its sessions."""

from __future__ import annotations

import random
from collections import Counter
from math import inf

import pytest

from keepalived.keeper.session_table import BUCKETS_PER_SECOND, SessionTable
from keepalived.lease.endings import Ending
from keepalived.lease.model import FINAL_STATES, Kind, SessionKey, State
from keepalived.lease.session import Session
from keepalived.lease.timing import at_risk_from
from tests.support.sessions import a_session

ENDING = Ending(State.DONE, "the client completed it")


def key(number: int) -> SessionKey:
    return SessionKey(("lab", "prod")[number % 2], Kind.UPDATE, str(number))


def changed(session: Session, draw: random.Random) -> Session:
    """Let anything happen to a session that a round can make of it."""
    what = draw.randrange(7)
    if what == 0:
        final = draw.choice(FINAL_STATES)
        return session._replace(state=final, ending=ENDING, holds=())
    if what == 1:
        return session._replace(stalled=not session.stalled)
    if what == 2:
        return session._replace(lifetime=draw.choice([60.0, 300.0, 7200.0]))
    if what == 3:
        return session._replace(ending=ENDING)
    if what == 4:
        return session._replace(due=draw.uniform(0, 1000))
    return session._replace(state=State.ACTIVE, renewed_at=draw.uniform(0, 1000))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_counted_is_what_is_there(seed: int) -> None:
    draw = random.Random(seed)
    roll = SessionTable()
    there: dict[SessionKey, Session] = {}
    for _ in range(1000):
        which = key(draw.randrange(40))
        known = there.get(which)
        assert roll.get(which) == known
        if known is None or known.state.is_final:
            if known is not None and draw.random() < 0.5:
                roll.drop(which)
                del there[which]
                continue
            session = a_session(which, State.PENDING)
        else:
            session = changed(known, draw)
        assert roll.put(session) == known
        there[which] = session
        check(roll, there)
    assert {each.state.is_final for each in there.values()} == {True, False}


def check(roll: SessionTable, there: dict[SessionKey, Session]) -> None:
    assert len(roll) == len(there)
    assert {session.key: session for session in roll} == there
    assert all(not session.state.is_final for session in roll.live.values())
    assert all(session.state.is_final for session in roll.ended.values())
    for vcenter in ("lab", "prod"):
        known = [session for session in there.values() if session.key.vcenter == vcenter]
        live = [session for session in known if not session.state.is_final]
        counts = roll.counts(vcenter)
        assert +Counter(counts.states) == Counter(session.state for session in known)
        assert counts.stalled == sum(session.stalled for session in live)
        at = {each.deadline: each.lifetime for each in live if each.deadline is not None}
        near(counts.first_deadline, min(at, default=inf))
        risks = [at_risk_from(deadline, lifetime) for deadline, lifetime in at.items()]
        near(counts.first_at_risk, min(risks, default=inf))


def near(said: float, exact: float) -> None:
    """Fail unless what is said is what it is, or earlier by less than a grain."""
    assert said == exact or exact - 1 / BUCKETS_PER_SECOND < said <= exact


def test_the_live_and_the_ended_keep_the_order_in_which_they_came() -> None:
    roll = SessionTable(a_session(key(number)) for number in range(6))
    for number in (4, 2):
        roll.put(a_session(key(number), State.DONE))
    roll.put(a_session(key(0), deadline=10.0))
    assert [each.id for each in roll.live] == ["0", "1", "3", "5"]
    assert [each.id for each in roll.ended] == ["4", "2"]
    assert [session.key.id for session in roll] == ["0", "1", "3", "5", "4", "2"]


def test_one_that_ended_and_is_wanted_again_is_alive() -> None:
    roll = SessionTable([a_session(key(0), State.EXPIRED)])
    before = roll.put(a_session(key(0), State.PENDING))
    assert before is not None
    assert before.state is State.EXPIRED
    assert (len(roll.live), len(roll.ended), len(roll)) == (1, 0, 1)
    assert +Counter(roll.counts("lab").states) == {State.PENDING: 1}


def test_nobody_knows_what_is_unknown() -> None:
    roll = SessionTable()
    assert roll.get(key(0)) is None
    assert key(0) not in roll
    with pytest.raises(KeyError):
        roll.drop(key(0))


@pytest.mark.parametrize("state", [State.ACTIVE, State.DONE])
def test_what_is_dropped_is_gone_and_no_other(state: State) -> None:
    roll = SessionTable(a_session(key(number), state) for number in (0, 2))
    assert key(0) in roll
    roll.drop(key(0))
    assert key(0) not in roll
    assert [session.key for session in roll] == [key(2)]
    assert +Counter(roll.counts("lab").states) == {state: 1}


def test_an_end_that_is_corrected_counts_once() -> None:
    roll = SessionTable([a_session(key(0), State.EXPIRED)])
    before = roll.put(a_session(key(0), State.DONE))
    assert before is not None
    assert before.state is State.EXPIRED
    assert +Counter(roll.counts("lab").states) == {State.DONE: 1}
    assert len(roll) == 1
