"""Export the engine's state as gauges, read at the time of the scrape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from keepalived.host.clock import Clock
from keepalived.host.slices import Slices
from keepalived.keeper.snapshot import EngineView, VCenterView
from keepalived.lease.model import FINAL_STATES
from keepalived.lease.session import Session
from keepalived.observe.at_risk import at_risk_sessions
from keepalived.observe.cap import SeriesLimiter
from keepalived.observe.exposition import Gauge

_FINAL = frozenset(FINAL_STATES)
_KEY = ("vcenter", "session_id", "kind")
_SESSION = ("vcenter", "session_id")
_DESCRIBED = 100
"""Sessions whose series are built in one slice: one or two milliseconds of work."""


class StateExporter:
    """Turns the engine's state into the text of a scrape.

    Series follow the engine's sessions, so none outlives its session. Sessions of a removed
    vCenter are left out. Without `session_labels`, no series names a session.
    """

    def __init__(self, clock: Clock, max_sessions: int, *, session_labels: bool = True) -> None:
        self._clock = clock
        self.cap = SeriesLimiter(max_sessions)
        self.session_labels = session_labels

    def text(self, engine_view: EngineView) -> Slices[str]:
        """Return all gauges for one scrape, in slices. Must not run twice at once."""
        at_risk = yield from at_risk_sessions(engine_view)
        sessions, names = engine_view.sessions, {vcenter.name for vcenter in engine_view.vcenters}
        shown: list[Session] = []
        if self.session_labels:
            shown = self.cap.choose(sessions.live, sessions.ended, at_risk, names)
        to_wall = self._clock.wall() - self._clock.boot()
        gauges = (
            *_aggregates(engine_view, at_risk),
            *_vcenters(engine_view.vcenters),
            *(yield from _sessions(shown, to_wall)),
        )
        return "".join([gauge.text for gauge in gauges])


def _aggregates(engine_view: EngineView, endangered: Iterable[Session]) -> Iterable[Gauge]:
    sessions = Gauge("sessions", "Sessions known, by state.", ("vcenter", "state"))
    at_risk = Gauge(
        "sessions_at_risk",
        "Sessions with less than 0.4 of their lifetime left, including overdue ones.",
        ("vcenter",),
    )
    overdue = Gauge("sessions_overdue", "Sessions past their deadline.", ("vcenter",))
    stalled = Gauge(
        "sessions_stalled",
        "Sessions whose transfer started but has made no progress for a quarter of the stall "
        "timeout.",
        ("vcenter",),
    )
    min_slack = Gauge(
        "min_slack_seconds",
        "Time left for the session nearest to its deadline, in steps of 0.1 s; negative when "
        "overdue.",
        ("vcenter",),
    )
    now = engine_view.now
    risks = Counter(session.key.vcenter for session in endangered)
    losses = Counter(
        session.key.vcenter for session in endangered if (session.slack(now) or 0.0) < 0
    )
    for vcenter in engine_view.vcenters:
        name, counts = vcenter.name, engine_view.sessions.counts(vcenter.name)
        for state, count in counts.states.items():
            sessions.add((name, state.value), count)
        at_risk.add((name,), risks[name])
        stalled.add((name,), counts.stalled)
        overdue.add((name,), losses[name])
        if counts.first_deadline < math.inf:
            min_slack.add((name,), counts.first_deadline - now)
    return sessions, at_risk, overdue, stalled, min_slack


def _vcenters(vcenters: Iterable[VCenterView]) -> Iterable[Gauge]:
    up = Gauge("vcenter_up", "Whether the vCenter can be reached.", ("vcenter",))
    in_flight = Gauge("in_flight", "Requests sent and not answered yet.", ("vcenter",))
    utilization = Gauge(
        "utilization_ratio",
        "Share of the request slots in use over about the last minute.",
        ("vcenter",),
    )
    for view in vcenters:
        up.add((view.name,), view.up)
        in_flight.add((view.name,), view.in_flight)
        utilization.add((view.name,), view.utilization)
    return up, in_flight, utilization


def _sessions(shown: Iterable[Session], to_wall: float) -> Slices[Iterable[Gauge]]:
    state = Gauge("session_state", "The session's state, as a label (always 1).", (*_KEY, "state"))
    info = Gauge(
        "session_info",
        "The session's library item and the sources of its holds (always 1).",
        (*_KEY, "library", "item", "source"),
    )
    deadline = Gauge(
        "session_deadline_timestamp_seconds",
        "When the session may expire unless it is renewed.",
        _SESSION,
    )
    lifetime = Gauge(
        "session_lifetime_seconds", "How long the session lives without activity.", _SESSION
    )
    progress = Gauge(
        "session_client_progress_ratio", "The client's progress, from 0 to 1.", _SESSION
    )
    transferred = Gauge(
        "session_transferred_bytes", "Bytes received in the session's files.", _SESSION
    )
    stalled = Gauge(
        "session_stalled",
        "The session's transfer is stalled (always 1; only for stalled sessions).",
        _SESSION,
    )
    seen: set[tuple[str, str]] = set()
    for number, session in enumerate(shown, 1):
        if not number % _DESCRIBED:
            yield
        vcenter, kind, session_id = session.key
        key = (vcenter, session_id, kind.value)
        library, item = (session.item.library, session.item.name) if session.item else (None, None)
        state.add((*key, session.state.value), 1)
        sources = ",".join(sorted({hold.owner.kind.value for hold in session.holds}))
        info.add((*key, library or "", item or "", sources), 1)
        # These have no label for the kind. If an id is held as both kinds, one of them by mistake,
        # the first one, which is alive if either is, represents both.
        labels = (vcenter, session_id)
        if labels in seen:
            continue
        seen.add(labels)
        if session.state not in _FINAL:
            lifetime.add(labels, session.lifetime)
            if session.stalled:
                stalled.add(labels, 1)
            if session.deadline is not None:
                deadline.add(labels, round(session.deadline + to_wall, 3))
        if session.acknowledged is not None:
            progress.add(labels, session.acknowledged / 100)
        if session.files:
            transferred.add(labels, session.transferred)
    return state, info, deadline, lifetime, progress, transferred, stalled
