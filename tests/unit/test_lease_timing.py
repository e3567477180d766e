"""The timing rules, for every lifetime from a second to a day."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keepalived.lease import timing
from keepalived.lease.answers import Outcome
from keepalived.lease.latency import UNKNOWN, LatencyEstimate
from tests.support.examples import examples

thoroughly = settings(max_examples=examples(300))

lifetimes = st.one_of(
    st.floats(1.0, 86400.0), st.sampled_from([1.0, 5.0, 10.0, 20.0, 60.0, 300.0, 86400.0])
)
draws = st.floats(0.0, 1.0, exclude_max=True)
tries = st.integers(1, 10_000)
slacks = st.none() | st.floats(-1e6, 86400.0) | st.floats(-1.0, 2.0)
asked = st.floats(0.0, 1e9)


# -- renewals


@given(lifetimes, draws)
@thoroughly
def test_the_second_renewal_is_spread_and_the_others_come_at_about_half(
    lifetime: float, u: float
) -> None:
    spread = timing.renewal_delay(lifetime, u, first=True)
    steady = timing.renewal_delay(lifetime, u, first=False)
    assert 0.2 * lifetime <= spread <= 0.5 * lifetime
    assert 0.45 * lifetime <= steady <= 0.55 * lifetime


def test_the_draws_cover_the_whole_spread() -> None:
    assert timing.renewal_delay(300.0, 0.0, first=True) == pytest.approx(60.0)
    assert timing.renewal_delay(300.0, 1.0, first=True) == pytest.approx(150.0)
    assert timing.renewal_delay(300.0, 0.0, first=False) == pytest.approx(135.0)
    assert timing.renewal_delay(300.0, 1.0, first=False) == pytest.approx(165.0)


# -- retries


def test_back_off_doubles_from_one_second_to_fifteen() -> None:
    assert [timing.back_off(count) for count in range(1, 7)] == [1, 2, 4, 8, 15, 15]


@given(tries)
@thoroughly
def test_back_off_never_leaves_its_bounds(count: int) -> None:
    assert 1.0 <= timing.back_off(count) <= 15.0


@pytest.mark.parametrize(("lifetime", "least"), [(1, 0.05), (10, 0.5), (20, 1), (300, 1)])
def test_the_floor_is_a_second_or_a_twentieth_of_the_lifetime(
    lifetime: float, least: float
) -> None:
    assert timing.floor(lifetime) == pytest.approx(least)


@given(tries, slacks, lifetimes, draws, st.none() | asked)
@thoroughly
def test_no_delay_is_below_the_floor(
    count: int, slack: float | None, lifetime: float, u: float, retry_after: float | None
) -> None:
    delay = timing.retry_delay(count, slack, lifetime, u)
    assert delay >= timing.floor(lifetime)
    assert timing.delay_with_retry_after(delay, retry_after, slack, lifetime) >= delay


@given(tries, st.floats(0.0, 86400.0), lifetimes, draws, st.none() | asked)
@thoroughly
def test_the_next_attempt_comes_before_the_deadline_while_one_can(
    count: int, slack: float, lifetime: float, u: float, retry_after: float | None
) -> None:
    assume(slack > timing.floor(lifetime))
    delay = timing.retry_delay(count, slack, lifetime, u)
    assert delay < slack
    assert timing.delay_with_retry_after(delay, retry_after, slack, lifetime) < slack


@given(tries, st.floats(0.0, 86400.0), lifetimes, draws)
@thoroughly
def test_a_retry_takes_about_a_quarter_of_what_remains_at_most(
    count: int, slack: float, lifetime: float, u: float
) -> None:
    delay = timing.retry_delay(count, slack, lifetime, u)
    assert delay <= max(timing.floor(lifetime), 1.2 * slack / 4) or slack == 0


@given(tries, st.none() | st.floats(-1e6, 0.0), lifetimes, draws)
@thoroughly
def test_overdue_or_never_renewed_the_back_off_is_plain(
    count: int, slack: float | None, lifetime: float, u: float
) -> None:
    plain = timing.back_off(count)
    delay = timing.retry_delay(count, slack, lifetime, u)
    assert 0.8 * plain <= delay <= 1.2 * plain or delay == timing.floor(lifetime)


def test_retries_differ_by_a_fifth_either_way() -> None:
    assert timing.retry_delay(3, None, 300.0, 0.0) == pytest.approx(3.2)
    assert timing.retry_delay(3, None, 300.0, 0.5) == pytest.approx(4.0)
    assert timing.retry_delay(3, None, 300.0, 1.0) == pytest.approx(4.8)
    assert timing.retry_delay(9, 20.0, 300.0, 0.5) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("retry_after", "slack", "expected"),
    [
        (None, 100.0, 2.0),
        (1.0, 100.0, 2.0),
        (30.0, 100.0, 30.0),
        (80.0, 100.0, 50.0),
        (80.0, -1.0, 80.0),
        (3600.0, -1.0, 150.0),
        (3600.0, None, 150.0),
    ],
)
def test_retry_after_is_honoured_up_to_half_of_what_remains(
    retry_after: float | None, slack: float | None, expected: float
) -> None:
    assert timing.delay_with_retry_after(2.0, retry_after, slack, 300.0) == expected


# -- timeouts


@given(st.integers(0, 10_000), slacks, lifetimes)
@thoroughly
def test_a_timeout_stays_far_below_what_remains(
    count: int, slack: float | None, lifetime: float
) -> None:
    remaining = slack if slack is not None and slack > 0 else lifetime
    timeout = timing.request_timeout(count, slack, lifetime)
    assert timing.floor(lifetime) <= timeout <= 120.0
    if count:
        assert timeout <= max(timing.floor(lifetime), remaining / 3)


@given(st.integers(0, 100), slacks, lifetimes)
@thoroughly
def test_a_timeout_grows_with_the_retries(count: int, slack: float | None, lifetime: float) -> None:
    shorter = timing.request_timeout(count + 1, slack, lifetime)
    assert shorter <= timing.request_timeout(count + 2, slack, lifetime)


@given(lifetimes)
@thoroughly
def test_the_first_timeout_is_ten_seconds_or_a_tenth_of_the_lifetime(lifetime: float) -> None:
    for slack in (None, lifetime, 0.45 * lifetime, 0.01 * lifetime, -1.0):
        timeout = timing.request_timeout(0, slack, lifetime)
        assert timeout == pytest.approx(min(10.0, lifetime / 10))


def test_timeouts_triple_up_to_a_third_of_what_remains() -> None:
    timeouts = [timing.request_timeout(count, 135.0, 300.0) for count in range(4)]
    assert timeouts == [10.0, 30.0, 45.0, 45.0]


@pytest.mark.parametrize(
    ("waited", "slack", "timeout"),
    [(2.0, 135.0, 10.0), (10.0, 135.0, 30.0), (30.0, 135.0, 45.0), (30.0, None, 90.0)],
)
def test_what_others_waited_in_vain_counts_like_a_try(
    waited: float, slack: float | None, timeout: float
) -> None:
    assert timing.request_timeout(0, slack, 300.0, LatencyEstimate(waited=waited)) == timeout


@pytest.mark.parametrize(
    ("usual", "slack", "timeout"),
    [
        (2.0, 135.0, 10.0),  # as fast as is expected of everybody
        (8.0, 135.0, 16.0),  # twice as long
        (40.0, 135.0, 67.5),  # up to half of what remains
        (60.0, 135.0, 75.0),  # and never less than it needs
        (60.0, 62.0, 62.0),  # where there is that much
        (60.0, None, 120.0),  # two minutes at most
    ],
)
def test_a_slow_vcenter_is_given_the_time_it_needs(
    usual: float, slack: float | None, timeout: float
) -> None:
    assert timing.request_timeout(0, slack, 300.0, LatencyEstimate(usual)) == timeout


@given(st.integers(0, 10), slacks, lifetimes, st.floats(0, 1e3), st.floats(0, 1e3))
@thoroughly
def test_a_slow_pace_never_shortens_a_timeout(
    count: int, slack: float | None, lifetime: float, usual: float, waited: float
) -> None:
    timeout = timing.request_timeout(count, slack, lifetime, LatencyEstimate(usual, waited))
    assert timing.request_timeout(count, slack, lifetime) <= timeout <= 120.0


# -- pace


def test_a_slower_answer_counts_at_once_and_faster_ones_little_by_little() -> None:
    pace = UNKNOWN.after(Outcome.OK, 4.0)
    assert pace == LatencyEstimate(usual=4.0)
    pace = pace.after(Outcome.OK, 8.0)
    assert pace == LatencyEstimate(usual=8.0)
    assert pace.after(Outcome.OK, 0.0).after(Outcome.OK, 0.0) == LatencyEstimate(usual=4.5)


def test_waiting_in_vain_is_forgotten_with_the_next_answer() -> None:
    pace = LatencyEstimate(1.0).after(Outcome.TIMED_OUT, 30.0).after(Outcome.TIMED_OUT, 10.0)
    assert pace == LatencyEstimate(usual=1.0, waited=30.0)
    assert pace.after(Outcome.OK, 1.0) == LatencyEstimate(usual=1.0)


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.UNREACHABLE, Outcome.FAILED])
def test_who_refuses_at_once_tells_nothing_of_the_pace(outcome: Outcome) -> None:
    assert LatencyEstimate(4.0, 30.0).after(outcome, 0.0) == LatencyEstimate(4.0, 30.0)


# -- attempts


@given(lifetimes)
@thoroughly
def test_three_attempts_fit_between_falling_due_and_the_deadline(lifetime: float) -> None:
    assert timing.attempts_that_fit(lifetime) >= 3


@given(lifetimes, draws, st.lists(draws, min_size=12, max_size=12), st.booleans())
@thoroughly
def test_three_attempts_fit_whatever_the_draws(
    lifetime: float, renewal: float, retries: list[float], is_asked_to_wait: bool
) -> None:
    """Counted apart from `attempts_that_fit`: each attempt hangs until its timeout."""
    slack = lifetime - timing.renewal_delay(lifetime, renewal, first=False)
    ended_in_time = 0
    for count, u in enumerate(retries):
        slack -= timing.request_timeout(count, slack, lifetime)
        if slack < 0:
            break
        ended_in_time += 1
        delay = timing.retry_delay(count + 1, slack, lifetime, u)
        retry_after = 1e6 if is_asked_to_wait else None
        slack -= timing.delay_with_retry_after(delay, retry_after, slack, lifetime)
    assert ended_in_time >= 3
    if not is_asked_to_wait:
        assert ended_in_time >= timing.attempts_that_fit(lifetime)


@pytest.mark.parametrize(
    ("timeout", "attempts"), [(None, 8), (1.0, 10), (10.0, 8), (40.0, 3), (60.0, 2), (136.0, 0)]
)
def test_attempts_under_a_fixed_timeout(timeout: float | None, attempts: int) -> None:
    assert timing.attempts_that_fit(300.0, timeout) == attempts


# -- what the server teaches, and when to worry


@given(st.floats(allow_nan=False), lifetimes)
@thoroughly
def test_a_learned_lifetime_is_clamped(reading: float, configured: float) -> None:
    learned = timing.learned_lifetime(reading, configured)
    assert min(5.0, configured) <= learned <= configured
    if min(5.0, configured) <= reading - 1.0 <= configured:
        assert learned == reading - 1.0


def test_the_server_is_believed_down_to_five_seconds_less_the_one_that_its_date_hides() -> None:
    assert timing.learned_lifetime(10.0, 300.0) == 9.0
    assert timing.learned_lifetime(1.0, 300.0) == 5.0
    assert timing.learned_lifetime(400.0, 300.0) == 300.0
    # Configured to less than that, nothing is learned.
    assert timing.learned_lifetime(1.0, 3.0) == timing.learned_lifetime(90.0, 3.0) == 3.0


@pytest.mark.parametrize(
    ("slack", "is_at_risk"),
    [(None, False), (300.0, False), (120.0, False), (119.9, True), (0.0, True), (-5.0, True)],
)
def test_at_risk_below_two_fifths_of_the_lifetime(slack: float | None, is_at_risk: bool) -> None:
    assert timing.is_at_risk(slack, 300.0) is is_at_risk


@given(lifetimes, draws)
@thoroughly
def test_nobody_is_at_risk_before_a_renewal_is_due(lifetime: float, u: float) -> None:
    slack = lifetime - timing.renewal_delay(lifetime, u, first=False)
    assert not timing.is_at_risk(slack, lifetime)
