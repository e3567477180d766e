"""Find the sessions at risk, without scanning all sessions while there are none."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import inf

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.slices import Slices, SliceTimer, run_in_slices
from keepalived.keeper.snapshot import EngineView
from keepalived.lease.events import Listener, SessionAtRisk
from keepalived.lease.session import Session, at_risk_among

_STEP = 1000
"""Sessions in a step: one or two milliseconds of work."""

_CHECK_SECONDS = 1.0


def at_risk_sessions(engine_view: EngineView) -> Slices[list[Session]]:
    """Return, in slices, the configured vCenters' sessions at risk, the overdue ones included."""
    table, now = engine_view.sessions, engine_view.now
    names = {vcenter.name for vcenter in engine_view.vcenters}
    if now < min((table.counts(name).first_at_risk for name in names), default=inf):
        return []
    sessions = tuple(table.live.values())
    found: list[Session] = []
    for first in range(0, len(sessions), _STEP):
        if first:
            yield
        found += at_risk_among(sessions[first : first + _STEP], now)
    return [session for session in found if session.key.vcenter in names]


async def warn_of_danger(
    engine_view: Callable[[], EngineView], clock: Clock, listener: Listener
) -> None:
    """Report each session at risk whose vCenter is down, every second, until cancelled.

    Nothing is sent for these sessions, so no failure reports them.
    """
    while True:
        await sleep_until(clock, clock.boot() + _CHECK_SECONDS)
        view = engine_view()
        down = {vcenter.name for vcenter in view.vcenters if not vcenter.up}
        if down:
            await run_in_slices(_report(view, down, listener))


def _report(engine_view: EngineView, down: Collection[str], listener: Listener) -> Slices[None]:
    timer = SliceTimer()
    for session in (yield from at_risk_sessions(engine_view)):
        # The session may have been renewed or ended in an earlier slice.
        if session.key.vcenter in down and engine_view.sessions.live.get(session.key) is session:
            slack = session.slack(engine_view.now)
            listener.notify(SessionAtRisk(session.key, slack, session.lifetime))
        if timer.is_over():
            yield
