"""An observer that says nothing: for those who want to hear of a few things alone."""

from __future__ import annotations

from keepalived.keeper.observer import SessionEnd
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Owner
from keepalived.lease.model import SessionKey


class Silence:
    """Takes everything in that an engine tells, and does nothing; see Observer for what it is."""

    def hold_taken(self, key: SessionKey, source: str) -> None:
        """Say nothing."""

    def hold_released(self, key: SessionKey, source: str) -> None:
        """Say nothing."""

    def keep_alive_answered(self, key: SessionKey, outcome: Outcome, seconds: float) -> None:
        """Say nothing."""

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """Say nothing."""

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """Say nothing."""

    def attempt_started(self, vcenter: str, lag: float) -> None:
        """Say nothing."""

    def lifetime_learned(
        self,
        key: SessionKey,
        before: float,
        after: float,
        *,
        configured: float | None = None,
        clock_ahead: float | None = None,
    ) -> None:
        """Say nothing."""

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """Say nothing."""

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """Say nothing."""

    def stalled(self, key: SessionKey, idle: float) -> None:
        """Say nothing."""

    def moving(self, key: SessionKey) -> None:
        """Say nothing."""

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """Say nothing."""

    def session_ended(self, end: SessionEnd) -> None:
        """Say nothing."""

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Say nothing."""

    def vcenter_up(self, vcenter: str, down_seconds: float) -> None:
        """Say nothing."""

    def login(self, vcenter: str, outcome: str) -> None:
        """Say nothing."""

    def source_failed(self, source: str, problems: tuple[str, ...]) -> None:
        """Say nothing."""

    def source_recovered(self, source: str) -> None:
        """Say nothing."""
