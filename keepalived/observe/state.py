"""State as metrics: everything that is read from a snapshot at the moment of the scrape."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from keepalived.host.clock import Clock
from keepalived.keeper.observer import Snapshot, VCenterView
from keepalived.lease.holds import Holds
from keepalived.lease.model import FINAL_STATES, State
from keepalived.lease.session import Session
from keepalived.lease.timing import is_at_risk
from keepalived.observe.cap import StableCap
from keepalived.observe.exposition import Gauge
from keepalived.observe.steps import Steps

_FINAL = frozenset(FINAL_STATES)
_KEY = ("vcenter", "session_id", "kind")
_SESSION = ("vcenter", "session_id")
# How many sessions a step looks at, and how many it makes series of: some five milliseconds' worth.
# Others have a turn after each step: smaller ones made a busy daemon's scrape twice as long.
_LOOKED_AT = 1500
_DESCRIBED = 100


@dataclass(slots=True)
class _Tally:
    """The aggregates of one vCenter."""

    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    at_risk: int = 0
    overdue: int = 0
    stalled: int = 0
    min_slack: float = math.inf


class StateExporter:
    """Turns snapshots into the text of a scrape.

    Series follow the snapshot, so none can outlive what it describes. Sessions of a vCenter that
    the snapshot does not know are left out. Without `session_labels`, nothing names a session.
    """

    def __init__(self, clock: Clock, max_sessions: int, *, session_labels: bool = True) -> None:
        self._clock = clock
        self.cap = StableCap(max_sessions)
        self.session_labels = session_labels

    def text(self, snapshot: Snapshot) -> Steps[str]:
        """Return all gauges for one scrape, in steps. Not to be run twice at once."""
        tallies = {vcenter.name: _Tally() for vcenter in snapshot.vcenters}
        live, ended = self.cap.candidates(), self.cap.candidates()
        at_risk: list[Session] = []
        now = snapshot.now
        # There may be a hundred thousand of them: one pass, nothing twice.
        for number, session in enumerate(snapshot.sessions, 1):
            if not number % _LOOKED_AT:
                yield
            tally = tallies.get(session.key.vcenter)
            if tally is None:
                continue
            state = session.state
            tally.states[state] += 1
            if state in _FINAL:
                ended.offer(session)
                continue
            live.offer(session)
            tally.stalled += session.stalled
            deadline = session.deadline
            if deadline is None:
                continue
            slack = deadline - now
            if slack < tally.min_slack:
                tally.min_slack = slack
            if is_at_risk(slack, session.lifetime):
                tally.at_risk += 1
                tally.overdue += slack < 0
                at_risk.append(session)
        shown = self.cap.choose(live, ended, at_risk) if self.session_labels else []
        to_wall = self._clock.wall() - self._clock.boot()
        gauges = (
            *_aggregates(tallies),
            *_vcenters(snapshot.vcenters),
            *(yield from _sessions(shown, to_wall)),
        )
        return "".join([gauge.text for gauge in gauges])


def _aggregates(tallies: dict[str, _Tally]) -> Iterable[Gauge]:
    sessions = Gauge("sessions", "Sessions known, by state.", ("vcenter", "state"))
    at_risk = Gauge(
        "sessions_at_risk",
        "Sessions with less than 0.4 of their lifetime left, the overdue included.",
        ("vcenter",),
    )
    overdue = Gauge("sessions_overdue", "Sessions past their deadline.", ("vcenter",))
    stalled = Gauge(
        "sessions_stalled",
        "Sessions whose transfer was moving and has stood still for a quarter of the stall "
        "timeout.",
        ("vcenter",),
    )
    min_slack = Gauge(
        "min_slack_seconds",
        "Time left of the session nearest to its deadline; negative when overdue.",
        ("vcenter",),
    )
    for vcenter, tally in tallies.items():
        for state, count in tally.states.items():
            sessions.add((vcenter, state.value), count)
        at_risk.add((vcenter,), tally.at_risk)
        stalled.add((vcenter,), tally.stalled)
        overdue.add((vcenter,), tally.overdue)
        if tally.min_slack < math.inf:
            min_slack.add((vcenter,), tally.min_slack)
    return sessions, at_risk, overdue, stalled, min_slack


def _vcenters(vcenters: Iterable[VCenterView]) -> Iterable[Gauge]:
    up = Gauge("vcenter_up", "Whether the vCenter can be reached.", ("vcenter",))
    in_flight = Gauge("in_flight", "Requests on the wire.", ("vcenter",))
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


def _sessions(shown: Iterable[Session], to_wall: float) -> Steps[Iterable[Gauge]]:
    state = Gauge("session_state", "The state a session is in (always 1).", (*_KEY, "state"))
    info = Gauge(
        "session_info",
        "The library item a session works on, and who holds it (always 1).",
        (*_KEY, "library", "item", "source"),
    )
    deadline = Gauge(
        "session_deadline_timestamp_seconds",
        "When the session may expire unless it is renewed before.",
        _SESSION,
    )
    lifetime = Gauge(
        "session_lifetime_seconds", "How long the session lives without activity.", _SESSION
    )
    progress = Gauge(
        "session_client_progress_ratio", "The client's progress, from 0 to 1.", _SESSION
    )
    transferred = Gauge(
        "session_transferred_bytes", "Bytes that arrived in the session's files.", _SESSION
    )
    stalled = Gauge(
        "session_stalled",
        "The session's transfer stands still (always 1; the stalled alone have it).",
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
        info.add((*key, library or "", item or "", _sources(session.holds)), 1)
        # These have no label for the kind. Should an id be held as both kinds, of which one is a
        # mistake, then the first one, alive if any is, speaks for both.
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


def _sources(holds: Holds) -> str:
    return ",".join(sorted({hold.owner.kind.value for hold in holds}))
