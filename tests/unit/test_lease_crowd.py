"""Very many sessions at once: what is decided, and how much memory each takes."""

from __future__ import annotations

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.endings import Ending
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.recent import KEPT, outcomes_in, with_outcome
from keepalived.lease.session import Session, at_risk_among
from keepalived.lease.timing import at_risk_from, is_at_risk
from tests.support.sessions import LIFETIME, a_session

NOW = 1000.0
ENDING = Ending(State.DONE, "the client completed it")


def session(slack: float | None, lifetime: float = LIFETIME) -> Session:
    held = a_session(SessionKey("lab", Kind.UPDATE, str(slack)))._replace(lifetime=lifetime)
    return held if slack is None else held._replace(renewed_at=NOW + slack - lifetime)


@pytest.mark.parametrize("lifetime", [5.0, 300.0, 7200.0])
def test_those_at_risk_are_found_by_the_rule_for_one(lifetime: float) -> None:
    shares = (-1.0, 0.0, 0.1, 0.399, 0.4, 0.401, 0.5, 1.0)
    crowd = [session(None), *(session(share * lifetime, lifetime) for share in shares)]
    expected = [each for each in crowd if is_at_risk(each.slack(NOW), lifetime)]
    assert at_risk_among(crowd, NOW) == expected
    assert 0 < len(expected) < len(crowd)


def test_nobody_is_at_risk_whose_end_is_known_or_who_was_never_renewed() -> None:
    assert at_risk_among([session(1.0)._replace(ending=ENDING), session(None)], NOW) == []
    assert at_risk_among([], NOW) == []


def test_the_risk_begins_where_two_fifths_of_the_lifetime_are_left() -> None:
    assert at_risk_from(NOW + 150, 300.0) == NOW + 30
    assert not is_at_risk(120.0, 300.0)
    assert is_at_risk(119.9, 300.0)


def test_the_last_outcomes_are_kept_and_no_others() -> None:
    recent = b""
    assert outcomes_in(recent) == ()
    said = [(NOW + number / 8, outcome) for number, outcome in enumerate(Outcome)]
    for count, (at, outcome) in enumerate(said, start=1):
        recent = with_outcome(recent, at, outcome)
        assert outcomes_in(recent) == tuple(said[max(0, count - KEPT) : count])
