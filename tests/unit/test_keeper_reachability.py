"""Reachability: when a vCenter counts as down, and how often it is probed then."""

from __future__ import annotations

from math import exp

import pytest

from keepalived.keeper.reachability import Reachability
from keepalived.keeper.utilization import Utilization
from keepalived.lease.answers import Answer, Outcome

WIDE = [Outcome.UNAVAILABLE, Outcome.TIMED_OUT, Outcome.UNREACHABLE, Outcome.LOGIN_REFUSED]


def answer(outcome: Outcome, sent_at: float = 0.0) -> Answer[None]:
    return Answer(outcome, sent_at, sent_at + 0.1)


@pytest.mark.parametrize("outcome", WIDE)
def test_three_failures_in_a_row_are_down(outcome: Outcome) -> None:
    reachability = Reachability()
    assert (reachability.is_up, reachability.last_outcome) == (True, Outcome.OK)
    assert [reachability.note(answer(outcome)) for _ in range(3)] == [False, False, True]
    assert not reachability.is_up


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - set(WIDE) - {Outcome.NOT_SENT}))
def test_any_answer_of_the_server_itself_is_up(outcome: Outcome) -> None:
    reachability = Reachability()
    for _ in range(3):
        reachability.note(answer(Outcome.TIMED_OUT))
    assert reachability.note(answer(outcome))
    assert reachability.is_up
    for _ in range(2):
        assert not reachability.note(answer(Outcome.TIMED_OUT))
    reachability.note(answer(outcome))
    assert not reachability.note(answer(Outcome.TIMED_OUT))
    assert reachability.is_up


def test_probes_back_off_from_one_to_fifteen_seconds() -> None:
    reachability = Reachability()
    delays = [reachability.probe_delay(None, 300.0, None, 0.5) for _ in range(6)]
    assert delays == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_probes_are_bounded_by_the_smallest_slack() -> None:
    reachability = Reachability()
    for _ in range(5):
        reachability.probe_delay(None, 300.0, None, 0.5)
    assert reachability.probe_delay(8.0, 300.0, None, 0.5) == 2.0


def test_an_answered_probe_alone_does_not_start_the_back_off_anew() -> None:
    reachability = Reachability()
    for _ in range(4):
        reachability.probe_delay(None, 300.0, None, 0.5)
    reachability.note(answer(Outcome.OK))
    assert reachability.probe_delay(None, 300.0, None, 0.5) == 15.0
    reachability.proven()
    assert reachability.probe_delay(None, 300.0, None, 0.5) == 1.0


def test_probes_honour_retry_after_up_to_half_the_slack() -> None:
    reachability = Reachability()
    assert reachability.probe_delay(100.0, 300.0, 30.0, 0.5) == 30.0
    assert reachability.probe_delay(100.0, 300.0, 3000.0, 0.5) == 50.0


def test_refused_credentials_are_looked_at_every_two_seconds() -> None:
    reachability = Reachability()
    for _ in range(3):
        reachability.note(answer(Outcome.LOGIN_REFUSED))
    delays = [reachability.probe_delay(None, 300.0, None, 0.5) for _ in range(6)]
    assert delays == [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_utilization_is_the_average_share_of_the_last_minute() -> None:
    utilization = Utilization(slots=8, now=0.0)
    utilization.change(4, now=0.0)
    assert utilization.at(0.0) == 0.0
    assert utilization.at(600.0) == pytest.approx(0.5, abs=1e-3)
    utilization.change(0, now=600.0)
    assert utilization.at(660.0) == pytest.approx(0.5 / 2.718, abs=1e-3)


def test_utilization_counts_what_is_busy_for_a_part_of_a_second() -> None:
    utilization = Utilization(slots=4, now=100.0)
    utilization.change(4, now=100.0)
    utilization.change(0, now=100.25)
    utilization.change(2, now=100.75)
    # Four of four slots for a quarter of a second, and two of them for another quarter.
    weight = exp(-1.0 / 60.0)
    assert utilization.at(101.0) == pytest.approx((1 - weight) * (0.25 + 0.125))
    assert utilization.at(100.5) > 0
    utilization.change(2, now=101.0)
    assert utilization.at(101.0) == pytest.approx((1 - weight) * (0.25 + 0.125))
    later = weight * (1 - weight) * (0.25 + 0.125) + (1 - weight) * 0.5
    assert utilization.at(102.0) == pytest.approx(later)


def test_a_probe_is_waited_for_as_a_first_try() -> None:
    reachability = Reachability()
    assert reachability.probe_timeout(None, 300.0) == 10.0
    assert reachability.probe_timeout(90.0, 60.0) == 6.0
    for _ in range(3):
        reachability.note(Answer(Outcome.TIMED_OUT, 0.0, 30.0))
    # After half a minute in vain a probe has longer, up to a third of what is left.
    assert reachability.probe_timeout(90.0, 300.0) == 30.0


def test_retry_after_is_honoured_up_to_half_a_lifetime_where_nothing_is_left() -> None:
    reachability = Reachability()
    assert reachability.probe_delay(None, 300.0, 3000.0, 0.5) == 150.0


def test_what_was_not_sent_says_nothing_of_the_vcenter() -> None:
    reachability = Reachability()
    for outcome in (Outcome.TIMED_OUT, Outcome.NOT_SENT, Outcome.TIMED_OUT, Outcome.NOT_SENT):
        assert reachability.note(answer(outcome)) is False
    assert (reachability.is_up, reachability.last_outcome) == (True, Outcome.TIMED_OUT)
    assert reachability.note(answer(Outcome.TIMED_OUT)) is True
    assert reachability.note(answer(Outcome.NOT_SENT)) is False
    assert not reachability.is_up


def test_slots_that_nobody_has_used_are_free() -> None:
    assert Utilization(slots=4, now=0.0).at(60.0) == 0.0
