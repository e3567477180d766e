"""What the engine tells the world, and what can be read from it at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keepalived.keeper.roll import Roll
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Owner
from keepalived.lease.model import SessionKey, State
from keepalived.lease.session import Session


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended. Times are durations in seconds.

    `content_moved` is whether the library item's content version moved beyond the one the session
    started from: the only proof of arrival that outlives the session. None where nobody knows.
    """

    key: SessionKey
    state: State
    reason: str
    error_message: str | None
    held_seconds: float
    keep_alives: int
    progress: int | None
    library: str | None
    item: str | None
    content_moved: bool | None


class Observer(Protocol):
    """Receives everything that the engine wants counted or said. Must not block or raise."""

    def hold_taken(self, key: SessionKey, source: str) -> None:
        """A hold was taken; `source` says by what kind of owner."""

    def hold_released(self, key: SessionKey, source: str) -> None:
        """A hold was let go."""

    def keep_alive_answered(self, key: SessionKey, outcome: Outcome, seconds: float) -> None:
        """A keep-alive came back, well or not, after `seconds` on the wire."""

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """A session was renewed with `slack` seconds left (None at the first renewal)."""

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """An attempt failed; the next one follows in `retry_in` seconds."""

    def attempt_started(self, vcenter: str, lag: float) -> None:
        """A worker took up a session `lag` seconds after it fell due."""

    def lifetime_learned(
        self,
        key: SessionKey,
        before: float,
        after: float,
        *,
        configured: float | None = None,
        clock_ahead: float | None = None,
    ) -> None:
        """The server's answers say that the session lives for `after` seconds.

        `configured` is what the configuration says, and `clock_ahead` by how many seconds the
        server's `Date` is ahead of this machine's clock.
        """

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """A renewal succeeded and left the session's expiration where it was, `left` s from now.

        Said once until a renewal moves it.
        """

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """A file of the session went into ERROR; said once per file."""

    def stalled(self, key: SessionKey, idle: float) -> None:
        """A transfer that was moving has stood still for `idle` seconds; said once each time."""

    def moving(self, key: SessionKey) -> None:
        """A transfer that had stalled moves again."""

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """The API token that came with a hold is not taken any more.

        `fallback` says whether the session is renewed otherwise, by another lent token or with the
        vCenter's own credentials.
        """

    def session_ended(self, end: SessionEnd) -> None:
        """A session reached a final state; said once per end."""

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Three requests in a row found the vCenter unreachable."""

    def vcenter_up(self, vcenter: str, down_seconds: float) -> None:
        """The vCenter answers again after `down_seconds`."""

    def login(self, vcenter: str, outcome: str) -> None:
        """A login was tried; `outcome` is ok, refused or failed."""

    def source_failed(self, source: str, problems: tuple[str, ...]) -> None:
        """A source could not be read, in whole or in part; said once per change."""

    def source_recovered(self, source: str) -> None:
        """A source that had failed reads well again."""


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

    `roll` holds the sessions themselves, and goes on to change.
    """

    now: float
    roll: Roll
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


class Engine(Protocol):
    """What is shown to the world, as it stands when it is asked."""

    def overview(self) -> Overview:
        """Return how things stand, at once: for whoever asks often."""

    def snapshot(self) -> Snapshot:
        """Return everything, which takes a moment where there are very many sessions."""
