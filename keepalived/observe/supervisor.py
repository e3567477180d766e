"""Report to systemd while the daemon runs: watchdog keep-alives and the status line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.notify import Notifier
from keepalived.host.slices import Slices, run_at_once, run_in_slices
from keepalived.keeper.snapshot import EngineView
from keepalived.observe.at_risk import at_risk_sessions
from keepalived.observe.health import Health

_STATUS_SECONDS = 5.0
_STATUS_SESSIONS = 5_000
"""Number of sessions that adds one second to the interval between two scans of all sessions."""
_SIGNALS_PER_TIMEOUT = 3.0
"""Watchdog keep-alives per watchdog timeout: two may be late."""


@dataclass(eq=False, slots=True)
class SystemdNotifier:
    """Reports the daemon's state to a supervisor.

    The order of calls: `ready`, then any number of reloads, then `stopping`. Until cancelled,
    `send_watchdog_signals` runs concurrently from the start, and `update_status` from `ready` on.
    """

    notifier: Notifier
    health: Health
    engine_view: Callable[[], EngineView]
    clock: Clock
    _remark: str = field(default="", init=False)
    _is_ready: bool = field(default=False, init=False)

    def ready(self) -> None:
        """Report that the daemon has started."""
        self._is_ready = True
        self.notifier.ready(status_line(self.engine_view(), self._remark))

    def reloading(self) -> None:
        """Report that a reload has begun. Has no effect before `ready`."""
        if self._is_ready:
            self.notifier.reloading()

    def reloaded(self, remark: str = "") -> None:
        """Report the end of a reload; `remark`, if any, stays in the status until the next one."""
        self._remark = remark
        if self._is_ready:
            self.notifier.ready(status_line(self.engine_view(), self._remark))

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self.notifier.stopping("stopping: renewing all sessions a last time, and logging out")

    async def send_watchdog_signals(self, timeout: float) -> None:
        """Send keep-alives often enough for a watchdog with a timeout of `timeout` seconds.

        None is sent while a scheduler is stuck, and a stuck event loop cannot send any, so the
        watchdog restarts the daemon in both cases.
        """
        while True:
            if not self.health.stalled():
                self.notifier.alive()
            await sleep_until(self.clock, self.clock.boot() + timeout / _SIGNALS_PER_TIMEOUT)

    async def update_status(self) -> None:
        """Keep the status line up to date."""
        sent = ""
        while True:
            pause = _STATUS_SECONDS
            if self.notifier.is_heard:
                engine_view = self.engine_view()
                pause += len(engine_view.sessions.live) / _STATUS_SESSIONS
                status = await run_in_slices(status_slices(engine_view, self._remark))
                if status != sent:
                    self.notifier.status(status)
                    sent = status
            await sleep_until(self.clock, self.clock.boot() + pause)


def status_line(engine_view: EngineView, remark: str = "") -> str:
    """Return the status: "12 sessions, next keep-alive in 34 s, 1 at risk"."""
    return run_at_once(status_slices(engine_view, remark))


def status_slices(engine_view: EngineView, remark: str = "") -> Slices[str]:
    """Return the same as `status_line`, in slices."""
    now, count = engine_view.now, len(engine_view.sessions.live)
    dues = [view.next_due for view in engine_view.vcenters if view.next_due is not None]
    endangered = yield from at_risk_sessions(engine_view)
    overdue = sum((session.slack(now) or 0.0) < 0 for session in endangered)
    at_risk = len(endangered) - overdue
    parts = [f"{count} session{'' if count == 1 else 's'}"]
    if dues:
        wait = min(dues) - now
        parts.append(f"next keep-alive in {wait:.0f} s" if wait >= 1 else "a keep-alive under way")
    if at_risk:
        parts.append(f"{at_risk} at risk")
    if overdue:
        parts.append(f"{overdue} overdue")
    parts += [
        f"{vcenter.name} does not answer" for vcenter in engine_view.vcenters if not vcenter.up
    ]
    if remark:
        parts.append(remark)
    return ", ".join(parts)
