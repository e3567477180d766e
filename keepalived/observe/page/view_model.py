"""Choose from a snapshot what the page shows, without HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import nsmallest
from itertools import chain
from typing import NamedTuple

from keepalived.host.slices import Slices
from keepalived.keeper.snapshot import Snapshot, VCenterView
from keepalived.lease.answers import Outcome
from keepalived.lease.model import FINAL_STATES, State
from keepalived.lease.session import Session
from keepalived.lease.timing import is_at_risk

MOST_SESSIONS = 200
MOST_ENDS = 25
"""Number of losses and of other ends shown, so that many good ends do not hide losses."""

RECENT_SECONDS = 900.0
"""How long a loss counts as recent: as long as its alert fires."""

_LOSSES = frozenset({State.ERROR, State.EXPIRED, State.REMOVED})
"""Ends after which content that was expected has not arrived.

A session that the vCenter did not know when it was first renewed (NOT_FOUND) is a mistyped id,
as a rule.
"""

_FINAL = frozenset(FINAL_STATES)
_OTHERS = _FINAL - _LOSSES
_STEP = 2000
"""Sessions in a slice."""


class Danger(IntEnum):
    """How urgently a session needs attention; the most urgent first."""

    OVERDUE = 0
    AT_RISK = 1
    UNRENEWED = 2
    """No keep-alive has succeeded so far: its remaining time is unknown."""
    WELL = 3
    SETTLING = 4
    """It has ended, and its library item still has to be read."""


@dataclass(frozen=True, slots=True)
class Held:
    """A held session. `slack` is None without a deadline."""

    session: Session
    danger: Danger
    slack: float | None


class End(NamedTuple):
    """A session that ended `ago` seconds ago."""

    session: Session
    ago: float


@dataclass(frozen=True, slots=True)
class DaemonView:
    """The state of the daemon itself. `wall` is the wall time, in seconds since the epoch."""

    version: str
    wall: float
    running_for: float
    complaints: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    broken_sources: tuple[str, ...] = ()
    is_configuration_good: bool = True


@dataclass(slots=True)
class PageContent:
    """Everything on the page at one moment, `now` on the boot-time clock.

    `counts` cover all held sessions, of which `held` are the most endangered; `ends` are the newest
    first, out of `ended`.
    """

    now: float
    daemon: DaemonView
    vcenters: tuple[VCenterView, ...]
    counts: Counter[Danger] = field(default_factory=Counter)
    held_by_vcenter: Counter[str] = field(default_factory=Counter)
    failing_from_the_start: int = 0
    stalled: int = 0
    held: tuple[Held, ...] = ()
    ends: tuple[End, ...] = ()
    ended: int = 0
    recently_lost: int = 0
    recently_unknown: int = 0
    """Sessions that the vCenter did not know when they were first renewed."""

    @property
    def total(self) -> int:
        """How many sessions are held."""
        return sum(self.counts.values())


def collect_content(snapshot: Snapshot, daemon: DaemonView) -> Slices[PageContent]:
    """Return the contents of the page, in slices."""
    vcenters = sorted(snapshot.vcenters, key=lambda view: (view.up, view.name))
    page = PageContent(snapshot.now, daemon, tuple(vcenters))
    ranked: list[tuple[Danger, float, int]] = []
    losses: list[tuple[float, int]] = []
    others: list[tuple[float, int]] = []
    # Only the sessions to show are kept: allocating an object for each of 100,000 sessions makes
    # the garbage collector scan all objects, while nothing else runs.
    for first in range(0, len(snapshot.sessions), _STEP):
        part = range(first, min(first + _STEP, len(snapshot.sessions)))
        ranked = nsmallest(MOST_SESSIONS, chain(ranked, _ranked(snapshot, part, page)))
        losses = nsmallest(MOST_ENDS, chain(losses, _ends(snapshot, part, _LOSSES, page)))
        others = nsmallest(MOST_ENDS, chain(others, _ends(snapshot, part, _OTHERS, page)))
        yield
    page.held = tuple(
        Held(session := snapshot.sessions[place], danger, session.slack(page.now))
        for danger, _, place in ranked
    )
    ends = sorted((*losses, *others))
    page.ends = tuple(End(snapshot.sessions[place], ago) for ago, place in ends)
    return page


def _ranked(
    snapshot: Snapshot, part: range, page: PageContent
) -> Iterator[tuple[Danger, float, int]]:
    """Count each held session, and yield its sort key with its place in the snapshot."""
    now, dangers, vcenters = snapshot.now, page.counts, page.held_by_vcenter
    for place in part:
        session = snapshot.sessions[place]
        if session.state in _FINAL:
            continue
        danger, order = danger_of(session, now)
        dangers[danger] += 1
        vcenters[session.key.vcenter] += 1
        page.failing_from_the_start += danger is Danger.UNRENEWED and session.tries > 0
        page.stalled += session.stalled
        yield danger, order, place


def _ends(
    snapshot: Snapshot, part: range, states: frozenset[State], page: PageContent
) -> Iterator[tuple[float, int]]:
    """Count each session with such an end, and yield its age with its place in the snapshot."""
    now, ended_at = snapshot.now, snapshot.ended_at
    for place in part:
        session = snapshot.sessions[place]
        if session.state in states:
            ago = now - ended_at.get(session.key, now)
            page.ended += 1
            page.recently_lost += session.state in _LOSSES and ago < RECENT_SECONDS
            page.recently_unknown += session.state is State.NOT_FOUND and ago < RECENT_SECONDS
            yield ago, place


def danger_of(session: Session, now: float) -> tuple[Danger, float]:
    """Return a session's danger, and the sort key among sessions of the same danger."""
    if session.ending is not None:
        return Danger.SETTLING, session.since
    slack = session.slack(now)
    if slack is None:
        return Danger.UNRENEWED, session.since
    if slack < 0:
        return Danger.OVERDUE, slack
    return (Danger.AT_RISK if is_at_risk(slack, session.lifetime) else Danger.WELL), slack


@dataclass(frozen=True, slots=True)
class Concern:
    """One problem. An `urgent` one can cost a session within minutes."""

    urgent: bool
    text: str


def concerns(page: PageContent) -> Iterator[Concern]:
    """Yield the problems, the worst first; nothing if all is well."""
    daemon = page.daemon
    if count := page.counts[Danger.OVERDUE]:
        yield Concern(True, f"{_sessions(count)} overdue")
    if count := page.counts[Danger.AT_RISK]:
        yield Concern(True, f"{_sessions(count)} at risk")
    for complaint in daemon.complaints:
        yield Concern(True, complaint)
    for view in page.vcenters:
        if not view.up:
            held = page.held_by_vcenter[view.name]
            is_refused = view.outcome is Outcome.LOGIN_REFUSED
            trouble = "refuses the daemon's credentials" if is_refused else "does not answer"
            yield Concern(held > 0, f"vCenter {view.name} {trouble}")
    if count := page.failing_from_the_start:
        yield Concern(True, f"{_sessions(count)} could never be renewed")
    if count := page.recently_lost:
        yield Concern(False, f"{_sessions(count)} lost in the last 15 minutes")
    if count := page.recently_unknown:
        yield Concern(False, f"{_sessions(count)} unknown to the vCenter: check the id")
    if count := page.stalled:
        yield Concern(False, f"{count:,} {'upload is' if count == 1 else 'uploads are'} stalled")
    for source in daemon.broken_sources:
        yield Concern(False, f"{source} cannot be read completely")
    if not daemon.is_configuration_good:
        yield Concern(False, "the changed configuration is invalid; the previous one is in force")


def _sessions(count: int) -> str:
    return f"{count:,} session{'' if count == 1 else 's'}"
