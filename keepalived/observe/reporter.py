"""The engine's observer: every event goes to the log, to the metrics, or to both."""

from __future__ import annotations

from keepalived.keeper.observer import SessionEnd
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Owner
from keepalived.lease.model import SessionKey
from keepalived.observe.eventlog import EventLog
from keepalived.observe.metrics import Metrics


class Reporter:
    """Implements the keeper's Observer with an event log and metrics.

    A vCenter has to be declared before its keeper starts.
    """

    def __init__(self, log: EventLog, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def declare_vcenter(self, vcenter: str, *, session_timeout: float) -> None:
        """Get ready for `vcenter`, whose sessions live for `session_timeout` seconds."""
        self._log.declare_vcenter(vcenter, session_timeout)
        self._metrics.declare_vcenter(vcenter)

    def forget_vcenter(self, vcenter: str) -> None:
        """Drop series and memories of a vCenter that is no longer configured."""
        self._log.forget_vcenter(vcenter)
        self._metrics.forget_vcenter(vcenter)

    def hold_taken(self, key: SessionKey, source: str) -> None:
        """Log it."""
        self._log.hold_taken(key, source)

    def hold_released(self, key: SessionKey, source: str) -> None:
        """Log it."""
        self._log.hold_released(key, source)

    def keep_alive_answered(self, key: SessionKey, outcome: Outcome, seconds: float) -> None:
        """Count it."""
        self._metrics.keep_alive_answered(key, outcome, seconds)

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """Count and log it."""
        self._metrics.renewed(slack)
        self._log.renewed(key, first=first, slack=slack, progress=progress)

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """Log it."""
        self._log.renewal_failed(key, outcome, detail, retry_in=retry_in, slack=slack)

    def attempt_started(self, vcenter: str, lag: float) -> None:
        """Count it."""
        self._metrics.attempt_started(lag)

    def lifetime_learned(
        self,
        key: SessionKey,
        before: float,
        after: float,
        *,
        configured: float | None = None,
        clock_ahead: float | None = None,
    ) -> None:
        """Log it."""
        self._log.lifetime_learned(
            key, before, after, configured=configured, clock_ahead=clock_ahead
        )

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """Log it."""
        self._log.renewal_without_effect(key, left)

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """Log it."""
        self._log.file_failed(key, file)

    def stalled(self, key: SessionKey, idle: float) -> None:
        """Log it."""
        self._log.stalled(key, idle)

    def moving(self, key: SessionKey) -> None:
        """Log it."""
        self._log.moving(key)

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """Log it."""
        self._log.token_refused(key, owner, fallback=fallback)

    def session_ended(self, end: SessionEnd) -> None:
        """Count and log it."""
        self._metrics.session_ended(end)
        self._log.session_ended(end)

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Log it."""
        self._log.vcenter_down(vcenter, outcome, detail)

    def vcenter_up(self, vcenter: str, down_seconds: float) -> None:
        """Log it."""
        self._log.vcenter_up(vcenter, down_seconds)

    def login(self, vcenter: str, outcome: str) -> None:
        """Count and log it."""
        self._metrics.login(vcenter, outcome)
        self._log.login(vcenter, outcome)

    def source_failed(self, source: str, problems: tuple[str, ...]) -> None:
        """Count and log it."""
        self._metrics.source_failed(source)
        self._log.source_failed(source, problems)

    def source_recovered(self, source: str) -> None:
        """Note and log it."""
        self._metrics.source_recovered(source)
        self._log.source_recovered(source)
