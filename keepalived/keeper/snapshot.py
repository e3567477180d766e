"""Views of the engine's state, for exporters, the status page and the control API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from keepalived.keeper.session_table import SessionTable
from keepalived.lease.answers import Outcome
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session


class VCenterView(NamedTuple):
    """The current state of one vCenter.

    `utilization` is the share of its request slots in use, from 0 to 1, averaged over about the
    last minute. `down_since` is on the boot-time clock, as is `next_due`, when the next session
    falls due (None if none waits). `outcome` is that of the last request.
    """

    name: str
    up: bool
    in_flight: int
    utilization: float
    down_since: float | None = None
    outcome: Outcome = Outcome.OK
    next_due: float | None = None


class EngineView(NamedTuple):
    """The state of the engine at the boot time `now`.

    `sessions` is the live table, which keeps changing.
    """

    now: float
    sessions: SessionTable
    vcenters: tuple[VCenterView, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the engine's whole state at the boot time `now`.

    Sessions are immutable, so a snapshot is cheap, and can be read in another thread. `ended_at` is
    when each ended session ended, in boot time.
    """

    now: float
    sessions: tuple[Session, ...]
    vcenters: tuple[VCenterView, ...]
    ended_at: Mapping[SessionKey, float] = field(default_factory=dict)


class StatusSource(Protocol):
    """Provides the current state to exporters and views."""

    def engine_view(self) -> EngineView:
        """Return the current state; cheap enough for frequent calls."""

    def snapshot(self) -> Snapshot:
        """Return a copy of the state, which takes a moment with very many sessions."""
