"""What can be read from the engine at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keepalived.keeper.session_table import SessionTable
from keepalived.lease.answers import Outcome
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session


@dataclass(frozen=True, slots=True)
class VCenterView:
    """One vCenter as it stands now. `utilization` is the share of its request slots in use, 0 to 1,
    over about the last minute.

    `down_since` is on the boot-time clock, as is `next_due`, when the next session falls due (None
    where none waits); `outcome` is the class of the last answer to anything.
    """

    name: str
    up: bool
    in_flight: int
    utilization: float
    down_since: float | None = None
    outcome: Outcome = Outcome.OK
    next_due: float | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """How things stand at one moment of the boot-time clock.

    `sessions` holds the sessions themselves, and goes on to change.
    """

    now: float
    sessions: SessionTable
    vcenters: tuple[VCenterView, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole engine at one moment of the boot-time clock.

    Sessions are immutable, so a snapshot costs little, and may be read in another thread.
    `ended_at` is when each of those that ended did, on the same clock.
    """

    now: float
    sessions: tuple[Session, ...]
    vcenters: tuple[VCenterView, ...]
    ended_at: Mapping[SessionKey, float] = field(default_factory=dict)


class StatusSource(Protocol):
    """What is shown to the world, as it stands when it is asked."""

    def overview(self) -> Overview:
        """Return how things stand, at once: for whoever asks often."""

    def snapshot(self) -> Snapshot:
        """Return everything, which takes a moment where there are very many sessions."""
