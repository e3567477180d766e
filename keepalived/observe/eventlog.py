"""The engine's events in the operator's words: what is said, how loudly, and how often."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from structlog.stdlib import BoundLogger

from keepalived.keeper.observer import SessionEnd
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Owner
from keepalived.lease.model import SessionKey, State
from keepalived.lease.timing import is_at_risk, is_short
from keepalived.lease.words import duration

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
    """The failed attempts since the last renewal, and what was said of them."""

    failures: int = 0
    complaint: tuple[Outcome, str] | None = None
    danger: str = ""


class EventLog:
    """Writes one log line for each event worth one.

    What repeats is said once, when it changes: a failing session warns at the first failure of a
    round and whenever the outcome changes, and is a debug line otherwise, so that a long outage
    does not drown the log.
    """

    def __init__(self) -> None:
        self._log: BoundLogger = structlog.stdlib.get_logger(_LOGGER_NAME)
        # Asked before the frequent events are put together: a disabled level costs one look-up.
        self._enabled = logging.getLogger(_LOGGER_NAME).isEnabledFor
        self._session_timeouts: dict[str, float] = {}
        self._lifetimes: dict[SessionKey, float] = {}
        self._rounds: dict[SessionKey, _Round] = {}
        self._last_logins: dict[str, str] = {}

    def declare_vcenter(self, vcenter: str, session_timeout: float) -> None:
        """Take note of the lifetime that sessions of `vcenter` have until one learns better."""
        self._session_timeouts[vcenter] = session_timeout

    def forget_vcenter(self, vcenter: str) -> None:
        """Drop what is remembered of `vcenter` and its sessions."""
        self._session_timeouts.pop(vcenter, None)
        self._last_logins.pop(vcenter, None)
        self._lifetimes = {k: v for k, v in self._lifetimes.items() if k.vcenter != vcenter}
        self._rounds = {k: v for k, v in self._rounds.items() if k.vcenter != vcenter}

    def hold_taken(self, key: SessionKey, source: str) -> None:
        """Debug: the first renewal, or its failure, tells people that a session is held."""
        if self._enabled(logging.DEBUG):
            self._log.debug("hold_taken", **_context(key), source=source)

    def hold_released(self, key: SessionKey, source: str) -> None:
        """Debug: if it was the last hold, the session's end follows."""
        if self._enabled(logging.DEBUG):
            self._log.debug("hold_released", **_context(key), source=source)

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """Info for the first renewal and for one that ends a round of failures, else debug."""
        failed = self._rounds.pop(key, None) if self._rounds else None
        level = logging.INFO if first or failed else logging.DEBUG
        if not self._enabled(level):
            return
        event = "first_renewal" if first else "renewal_recovered" if failed else "renewed"
        self._log.log(
            level,
            event,
            **_context(key),
            slack=_rounded(slack),
            progress=progress,
            failures=failed.failures if failed else 0,
        )

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """Warning when the trouble is new or another one than before, else debug.

        A missing privilege is another one when its name changed. On top of that, `in_danger`.
        """
        ongoing = self._rounds.setdefault(key, _Round())
        ongoing.failures += 1
        complaint = (outcome, detail if outcome is Outcome.FORBIDDEN else "")
        level = logging.DEBUG if complaint == ongoing.complaint else logging.WARNING
        ongoing.complaint = complaint
        if self._enabled(level):
            self._log.log(
                level,
                "renewal_failed",
                **_context(key),
                outcome=outcome.value,
                detail=detail,
                failures=ongoing.failures,
                retry_in=_rounded(retry_in),
                slack=_rounded(slack),
            )
        self.in_danger(key, slack, self._lifetime(key))

    def in_danger(self, key: SessionKey, slack: float | None, lifetime: float | None) -> None:
        """Warning, once a round, that a session is at risk, and another one once it is overdue.

        While a vCenter is down, no attempt is made for its sessions: this is called for them too.
        """
        danger = _danger(slack, lifetime)
        if not danger:
            return
        ongoing = self._rounds.setdefault(key, _Round())
        if danger != ongoing.danger:
            ongoing.danger = danger
            self._log.warning(
                danger,
                **_context(key),
                slack=_rounded(slack),
                lifetime=_rounded(lifetime),
                failures=ongoing.failures,
            )

    def lifetime_learned(
        self,
        key: SessionKey,
        before: float,
        after: float,
        *,
        configured: float | None = None,
        clock_ahead: float | None = None,
    ) -> None:
        """Info when the lifetime moved by more than a tenth; readings always waver a little.

        Warning when it falls below half of what is configured.
        """
        self._lifetimes[key] = after
        notable = abs(after - before) > _NOTABLE_CHANGE * before
        level = logging.INFO if notable else logging.DEBUG
        facts: dict[str, object] = {}
        if configured is not None and is_short(after, configured):
            if not is_short(before, configured):
                level = logging.WARNING
            facts = {"configured": _rounded(configured), "message": _short_words(after, configured)}
            if clock_ahead is not None and abs(clock_ahead) >= _NOTABLE_SKEW:
                facts["clock_ahead"] = _rounded(clock_ahead)
                facts["message"] = f"{facts['message']}; {_skew_words(clock_ahead, after)}"
        if self._enabled(level):
            self._log.log(
                level,
                "lifetime_learned",
                **_context(key),
                before=_rounded(before),
                lifetime=_rounded(after),
                **facts,
            )

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """Warning: keep-alives are answered by who does not pass them on, or does not heed them."""
        self._log.warning(
            "renewal_without_effect",
            **_context(key),
            left=_rounded(left),
            message="keep-alives are answered, but the session's expiration_time stands still: "
            "something in front of the vCenter may answer them in its place",
        )

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """Warning: the session may yet be saved by sending the file again."""
        self._log.warning(
            "file_failed",
            **_context(key),
            file=file.name,
            source_type=file.source_type,
            bytes_transferred=file.bytes_transferred,
            size=file.size,
            error_message=file.error_message,
        )

    def stalled(self, key: SessionKey, idle: float) -> None:
        """Warning: the uploader may be gone, or its link stuck."""
        self._log.warning("session_stalled", **_context(key), idle=_rounded(idle))

    def moving(self, key: SessionKey) -> None:
        """Info: the transfer goes on."""
        self._log.info("session_moving", **_context(key))

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """Warning: the uploader's API session has ended, and what it does next will fail."""
        self._log.warning(
            "token_refused",
            **_context(key),
            owner=owner.kind.value,
            fallback=fallback,
            message="the uploader's API token is not taken any more; lend a fresh one"
            + (", meanwhile the session is renewed otherwise" if fallback else ""),
        )

    def session_ended(self, end: SessionEnd) -> None:
        """Error for ERROR, EXPIRED, NOT_FOUND; warning for REMOVED, CANCELED; info else."""
        self._rounds.pop(end.key, None)
        self._lifetimes.pop(end.key, None)
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

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Warning: nothing is lost yet."""
        self._log.warning("vcenter_down", vcenter=vcenter, outcome=outcome.value, detail=detail)

    def vcenter_up(self, vcenter: str, down_seconds: float) -> None:
        """Info: the outage is over."""
        self._log.info("vcenter_up", vcenter=vcenter, down_seconds=_rounded(down_seconds))

    def login(self, vcenter: str, outcome: str) -> None:
        """Error when the credentials are refused, said once; other changes by their weight."""
        event, level = _LOGINS.get(outcome, ("login_failed", logging.WARNING))
        if self._last_logins.get(vcenter) == outcome:
            level = logging.DEBUG
        self._last_logins[vcenter] = outcome
        self._log.log(level, event, vcenter=vcenter)

    def source_failed(self, source: str, problems: tuple[str, ...]) -> None:
        """Error: somebody's session may not be held. Names the first problems and their number."""
        self._log.error(
            "source_failed",
            source=source,
            problems=list(problems[:_PROBLEMS_SHOWN]),
            problem_count=len(problems),
        )

    def source_recovered(self, source: str) -> None:
        """Info: the source reads well again."""
        self._log.info("source_recovered", source=source)

    def _lifetime(self, key: SessionKey) -> float | None:
        learned = self._lifetimes.get(key)
        return self._session_timeouts.get(key.vcenter) if learned is None else learned


def _context(key: SessionKey) -> dict[str, str]:
    return {"vcenter": key.vcenter, "session_id": key.id, "kind": key.kind.value}


def _short_words(lifetime: float, configured: float) -> str:
    return (
        f"the server says that the session lives for {duration(lifetime)} without activity, and "
        f"session_timeout says {duration(configured)}"
    )


def _skew_words(ahead: float, lifetime: float) -> str:
    where = "ahead of" if ahead > 0 else "behind"
    return (
        f"but the Date of its answers is {duration(abs(ahead))} {where} this machine's clock, by "
        f"which it would be {duration(lifetime + ahead)}: set the clock that is wrong"
    )


def _danger(slack: float | None, lifetime: float | None) -> str:
    if slack is not None and slack < 0:
        return "session_overdue"
    if lifetime is not None and is_at_risk(slack, lifetime):
        return "session_at_risk"
    return ""


def _library_item(library: str | None, item: str | None) -> str | None:
    return f"{library}/{item}" if library and item else item


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
