"""Log the engine's events for operators, with repeated events at debug level."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from structlog.stdlib import BoundLogger

from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.events import Event
from keepalived.lease.model import SessionKey, State
from keepalived.lease.text import duration
from keepalived.lease.timing import is_at_risk, is_short

_LOGGER_NAME = "clkeepalived"
_PROBLEMS_SHOWN = 20
_NOTABLE_CHANGE = 0.1
_NOTABLE_SKEW = 5.0

_END_LEVELS: Mapping[State, int] = {
    State.ERROR: logging.ERROR,
    State.EXPIRED: logging.ERROR,
    State.NOT_FOUND: logging.ERROR,
    State.REMOVED: logging.WARNING,
    State.CANCELED: logging.WARNING,
    State.DONE: logging.INFO,
    State.RELEASED: logging.INFO,
}
_LOGINS: Mapping[str, tuple[str, int]] = {
    "ok": ("logged_in", logging.INFO),
    "refused": ("login_refused", logging.ERROR),
    "failed": ("login_failed", logging.WARNING),
}


@dataclass(slots=True)
class _Round:
    """The failed attempts since the last renewal, and the warnings logged about them."""

    failures: int = 0
    last_failure: tuple[Outcome, str] | None = None
    risk: str = ""


class EventLog:
    """Writes one log line per event, except for events that are only counted.

    A failing session is logged as a warning at its first failure and whenever the outcome changes.
    Repetitions are debug lines, so a long outage does not flood the log.
    """

    def __init__(self) -> None:
        self._log: BoundLogger = structlog.stdlib.get_logger(_LOGGER_NAME)
        # Checked before the frequent events are formatted: a disabled level costs one look-up.
        self._enabled = logging.getLogger(_LOGGER_NAME).isEnabledFor
        self._rounds: dict[SessionKey, _Round] = {}
        self._last_logins: dict[str, str] = {}

    def notify(self, event: Event) -> None:
        """Log an event, unless its level is disabled."""
        log = self._log
        match event:
            case events.Renewed():
                self._renewed(event)
            case events.RenewalFailed():
                self._renewal_failed(event)
            case events.SessionAtRisk(key, slack, lifetime):
                self._warn_of_risk(key, slack, lifetime)
            case events.HoldTaken(key, hold):
                # The first renewal, or its failure, reports that a session is held.
                if self._enabled(logging.DEBUG):
                    log.debug("hold_taken", **_context(key), source=hold.owner.kind)
            case events.HoldReleased(key, hold, State.PENDING | State.ACTIVE | State.RELEASED):
                if self._enabled(logging.DEBUG):
                    log.debug("hold_released", **_context(key), source=hold.owner.kind)
            case events.LifetimeLearned():
                self._lifetime_learned(event)
            case events.RenewalWithoutEffect(key, left):
                log.warning(
                    "renewal_without_effect",
                    **_context(key),
                    left=_rounded(left),
                    message="keep-alives succeed, but the session's expiration_time does not "
                    "advance: check whether a proxy in front of the vCenter answers them",
                )
            case events.FileFailed(key, file):
                log.warning(
                    "file_failed",
                    **_context(key),
                    file=file.name,
                    source_type=file.source_type,
                    bytes_transferred=file.bytes_transferred,
                    size=file.size,
                    error_message=file.error_message,
                )
            case events.SessionStalled(key, idle):
                log.warning("session_stalled", **_context(key), idle=_rounded(idle))
            case events.SessionMoving(key):
                log.info("session_moving", **_context(key))
            case events.TokenRefused(key, owner, fallback):
                log.warning(
                    "token_refused",
                    **_context(key),
                    owner=owner.kind.value,
                    fallback=fallback,
                    message="the vCenter no longer accepts the uploader's API token; lend a new one"
                    + (" (until then other credentials renew the session)" if fallback else ""),
                )
            case events.SessionEnd():
                self._session_ended(event)
            case events.VCenterDown(vcenter, outcome, detail):
                log.warning("vcenter_down", vcenter=vcenter, outcome=outcome.value, detail=detail)
            case events.VCenterUp(vcenter, down_seconds):
                log.info("vcenter_up", vcenter=vcenter, down_seconds=_rounded(down_seconds))
            case events.VCenterRemoved(vcenter):
                self._last_logins.pop(vcenter, None)
                self._rounds = {k: v for k, v in self._rounds.items() if k.vcenter != vcenter}
            case events.LoginTried(vcenter, outcome):
                # Refused credentials are logged once.
                name, level = _LOGINS.get(outcome, ("login_failed", logging.WARNING))
                if self._last_logins.get(vcenter) == outcome:
                    level = logging.DEBUG
                self._last_logins[vcenter] = outcome
                log.log(level, name, vcenter=vcenter)
            case events.SourceFailed(source, problems):
                log.error(
                    "source_failed",
                    source=source,
                    problems=list(problems[:_PROBLEMS_SHOWN]),
                    problem_count=len(problems),
                )
            case events.SourceRecovered(source):
                log.info("source_recovered", source=source)

    def _renewed(self, event: events.Renewed) -> None:
        """Log at info the first renewal and one that ends a series of failures, else at debug."""
        key, first, slack, progress = event
        failed = self._rounds.pop(key, None) if self._rounds else None
        level = logging.INFO if first or failed else logging.DEBUG
        if not self._enabled(level):
            return
        self._log.log(
            level,
            "first_renewal" if first else "renewal_recovered" if failed else "renewed",
            **_context(key),
            slack=_rounded(slack),
            progress=progress,
            failures=failed.failures if failed else 0,
        )

    def _renewal_failed(self, event: events.RenewalFailed) -> None:
        """Log a warning if the failure is new or differs from the last one, else at debug.

        A missing privilege counts as different if its name changed.
        """
        key, outcome, detail = event.key, event.outcome, event.detail
        ongoing = self._rounds.setdefault(key, _Round())
        ongoing.failures += 1
        failure = (outcome, detail if outcome is Outcome.FORBIDDEN else "")
        level = logging.DEBUG if failure == ongoing.last_failure else logging.WARNING
        ongoing.last_failure = failure
        if self._enabled(level):
            self._log.log(
                level,
                "renewal_failed",
                **_context(key),
                outcome=outcome.value,
                detail=detail,
                failures=ongoing.failures,
                retry_in=_rounded(event.retry_in),
                slack=_rounded(event.slack),
            )
        self._warn_of_risk(key, event.slack, event.lifetime)

    def _warn_of_risk(self, key: SessionKey, slack: float | None, lifetime: float) -> None:
        """Warn once per series of failures that a session is at risk, and once if it is overdue."""
        risk = _risk(slack, lifetime)
        if not risk:
            return
        ongoing = self._rounds.setdefault(key, _Round())
        if risk != ongoing.risk:
            ongoing.risk = risk
            self._log.warning(
                risk,
                **_context(key),
                slack=_rounded(slack),
                lifetime=_rounded(lifetime),
                failures=ongoing.failures,
            )

    def _lifetime_learned(self, event: events.LifetimeLearned) -> None:
        """Log at info a lifetime that changed by more than a tenth; readings vary a little.

        Log a warning when it falls below half of the configured value.
        """
        before, after, configured = event.before, event.after, event.configured
        notable = abs(after - before) > _NOTABLE_CHANGE * before
        level = logging.INFO if notable else logging.DEBUG
        facts: dict[str, object] = {}
        if configured is not None and is_short(after, configured):
            if not is_short(before, configured):
                level = logging.WARNING
            message = _short_lifetime_message(after, configured)
            ahead = event.clock_ahead
            if ahead is not None and abs(ahead) >= _NOTABLE_SKEW:
                facts["clock_ahead"] = _rounded(ahead)
                message += f"; {_skew_message(ahead, after)}"
            facts |= {"configured": _rounded(configured), "message": message}
        if self._enabled(level):
            self._log.log(
                level,
                "lifetime_learned",
                **_context(event.key),
                before=_rounded(before),
                lifetime=_rounded(after),
                **facts,
            )

    def _session_ended(self, end: events.SessionEnd) -> None:
        self._rounds.pop(end.key, None)
        self._log.log(
            _END_LEVELS.get(end.state, logging.ERROR),
            "session_ended",
            **_context(end.key),
            state=end.state.value,
            reason=end.reason,
            error_message=end.error_message,
            held_seconds=_rounded(end.held_seconds),
            keep_alives=end.keep_alives,
            progress=end.progress,
            library_item=_library_item(end.library, end.item),
            content_moved=end.content_moved,
        )


def _context(key: SessionKey) -> dict[str, str]:
    return {"vcenter": key.vcenter, "session_id": key.id, "kind": key.kind.value}


def _short_lifetime_message(lifetime: float, configured: float) -> str:
    return (
        f"the server reports that idle sessions expire after {duration(lifetime)}, "
        f"but session_timeout is {duration(configured)}"
    )


def _skew_message(ahead: float, lifetime: float) -> str:
    where = "ahead of" if ahead > 0 else "behind"
    return (
        f"the Date header of its answers is {duration(abs(ahead))} {where} this machine's clock, "
        f"by which the lifetime would be {duration(lifetime + ahead)}: correct the wrong clock"
    )


def _risk(slack: float | None, lifetime: float) -> str:
    if slack is not None and slack < 0:
        return "session_overdue"
    return "session_at_risk" if is_at_risk(slack, lifetime) else ""


def _library_item(library: str | None, item: str | None) -> str | None:
    return f"{library}/{item}" if library and item else item


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
