"""Computes when to renew, when to retry, and how long to wait for an answer.

All times and durations are seconds. `lifetime` is how long a session lives without activity,
`slack` the time left until the deadline (deadline - now; None before the first success, negative
when overdue), and `u` a random number from [0, 1) that the caller draws.
"""

from __future__ import annotations

from keepalived.lease.latency import UNKNOWN, LatencyEstimate

DUE_TOLERANCE = 0.001
"""Sessions count as due up to a millisecond early, which saves wake-ups."""

AT_RISK_SHARE = 0.4
"""A session is at risk when less than this share of its lifetime is left."""
FINAL_RENEWAL_SHARE = 0.75
"""At shutdown, sessions with less than this share of their lifetime left are renewed."""

_SPREAD = (0.2, 0.5)
_STEADY = (0.45, 0.55)
_BACKOFF_FIRST = 1.0
_BACKOFF_MOST = 15.0
_JITTER = 0.2
_TIMEOUT_FIRST = 10.0
_TIMEOUT_MOST = 120.0
_GROWTH = 3.0
_GENEROUS = 2.0
_NEEDED = 1.25
_LEARNED_LEAST = 5.0
_DATE_SECONDS = 1.0
SHORT_SHARE = 0.5
"""A lifetime below this share of the configured one causes a warning."""

RENEWAL_PAUSE = 2.0
"""The shortest time between two renewals, in seconds, unless the lifetime is too short for it."""


def renewal_delay(lifetime: float, u: float, *, first: bool) -> float:
    """Return how long after the last renewal was sent the next one is due.

    The second renewal is spread widely, so that sessions that arrived at the same time are not
    renewed at the same time.
    """
    low, high = _SPREAD if first else _STEADY
    return max(lifetime * (low + (high - low) * u), min(RENEWAL_PAUSE, _STEADY[0] * lifetime))


def floor(lifetime: float) -> float:
    """Return the shortest delay between two attempts, and the shortest request timeout."""
    return min(1.0, lifetime / 20)


def back_off(tries: int) -> float:
    """Return the delay after `tries` failed attempts in a row: 1 s, doubling up to 15 s."""
    return min(_BACKOFF_MOST, _BACKOFF_FIRST * 2.0 ** min(tries - 1, 10))


def retry_delay(tries: int, slack: float | None, lifetime: float, u: float) -> float:
    """Return the wait before the next attempt, after `tries` (at least 1) failed ones in a row.

    The back-off is at most a quarter of the remaining time, so that several attempts fit before the
    deadline, and at least `floor`, which prevents a busy loop as the remaining time shrinks. A
    session that is overdue, or was never renewed, has no remaining time to limit it.
    """
    delay = back_off(tries)
    if slack is not None and slack > 0:
        delay = min(delay, slack / 4)
    return max(floor(lifetime), delay * (1 - _JITTER + 2 * _JITTER * u))


def delay_with_retry_after(
    delay: float, retry_after: float | None, slack: float | None, lifetime: float
) -> float:
    """Extend `delay` to the server's Retry-After, up to half of the remaining time."""
    if retry_after is None:
        return delay
    remaining = slack if slack is not None and slack > 0 else lifetime
    return max(delay, min(retry_after, remaining / 2))


def request_timeout(
    tries: int, slack: float | None, lifetime: float, latency: LatencyEstimate = UNKNOWN
) -> float:
    """Return how long to wait for an answer after `tries` failed attempts (0 for the first).

    The timeout starts far below a lifetime and triples with each retry, in case the server is only
    slow. It is at most a third of the remaining time, and two minutes, since a hung request
    occupies a worker. Any session's timeout on this vCenter counts as a failed attempt. A slow
    vCenter gets twice its usual time, up to half of the remaining time, but never less than it
    needs, since any shorter timeout would fail.
    """
    first = min(_TIMEOUT_FIRST, lifetime / 10)
    remaining = slack if slack is not None and slack > 0 else lifetime
    longest = min(_TIMEOUT_MOST, remaining / 3)
    timeout = first
    if tries:
        timeout = max(floor(lifetime), min(first * _GROWTH ** min(tries, 10), longest))
    if not latency.waited and _GENEROUS * latency.usual <= timeout:
        return timeout
    growing = min(_GROWTH * latency.waited, longest)
    generous = min(_GENEROUS * latency.usual, remaining / 2)
    needed = min(_NEEDED * latency.usual, remaining)
    return max(timeout, min(_TIMEOUT_MOST, max(growing, generous, needed)))


def attempts_that_fit(lifetime: float, configured_timeout: float | None = None) -> int:
    """Return how many attempts fit between a renewal's due time and the deadline if all time out.

    Assumes the worst random numbers; at most ten. `configured_timeout` is the fixed request
    timeout, if there is one.
    """
    slack = lifetime * (1 - _STEADY[1])
    for tries in range(10):
        slack -= configured_timeout or request_timeout(tries, slack, lifetime)
        if slack < 0:
            return tries
        slack -= retry_delay(tries + 1, slack, lifetime, 1.0)
    return 10


def learned_lifetime(lifetime_left: float, configured: float) -> float:
    """Return the lifetime according to a reading of the server.

    `lifetime_left` counts from the server's `Date`, which is truncated to whole seconds, so one
    second is subtracted.
    """
    return bounded_lifetime(lifetime_left - _DATE_SECONDS, configured)


def bounded_lifetime(lifetime: float, configured: float) -> float:
    """Return a lifetime limited to plausible values.

    It is at most the configured one, since sessions may end before `expiration_time` for other
    reasons, and at least five seconds, since clocks and servers may be wrong. If the configured
    lifetime is shorter than that, readings have no effect.
    """
    return min(configured, max(_LEARNED_LEAST, lifetime))


def is_short(lifetime: float, configured: float) -> bool:
    """Whether the lifetime is so much shorter than configured that a warning is due."""
    return lifetime < SHORT_SHARE * configured


def at_risk_from(deadline: float, lifetime: float) -> float:
    """Return the time from which a session that is not renewed is at risk; see `is_at_risk`."""
    return deadline - AT_RISK_SHARE * lifetime


def is_at_risk(slack: float | None, lifetime: float) -> bool:
    """Whether little time is left, because renewals have been failing; true when overdue."""
    return slack is not None and slack < AT_RISK_SHARE * lifetime
