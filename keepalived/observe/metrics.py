"""Count events, and combine counters and state into one scrape."""

from __future__ import annotations

import gzip
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder, gzip_accepted

from keepalived.host.clock import Clock
from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.events import Event
from keepalived.lease.model import FINAL_STATES, State
from keepalived.observe.cap import OTHERS, SourceLimiter
from keepalived.observe.histogram import QuickHistogram
from keepalived.observe.state import StateExporter

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLACKS = (0, 5, 15, 30, 60, 90, 120, 150, 180, 240, 300, 600, 1800, 7200)
_LAGS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_MOST_SOURCES = 100
"""Unreadable sources with their own series. Operators look at only a few."""

_LOGIN_OUTCOMES = ("ok", "refused", "failed")


@dataclass(frozen=True, slots=True)
class _VCenterCounters:
    """One vCenter's counters, kept to avoid building labels for each increment."""

    keep_alives: dict[Outcome, Callable[[], None]]
    ends: dict[State, Callable[[], None]]
    logins: dict[str, Callable[[], None]]


class Metrics:
    """The metrics of one daemon, in their own registry.

    Counts only for vCenters that were added: a late answer for a removed one does not bring its
    series back.
    """

    def __init__(
        self, *, version: str, max_sessions: int, session_labels: bool = True, clock: Clock
    ) -> None:
        self.version = version
        self._clock = clock
        self._vcenters: dict[str, _VCenterCounters] = {}
        self._broken_sources: set[str] = set()
        self._has_others = False
        self._source_cap = SourceLimiter(_MOST_SOURCES)
        self.is_configuration_good = True
        """Whether the configuration was valid when it was last read."""
        self.state = StateExporter(clock, max_sessions, session_labels=session_labels)
        self.registry = registry = CollectorRegistry()
        # The creation time would add a series to each counter, and carries no information here:
        # all of them are created, at zero, together with their vCenter.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the library
        Info("clkeepalived_build", "The program and its Python.", registry=registry).info(
            {"version": version, "python": platform.python_version()}
        )
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(QuickHistogram, registry=registry)
        self._keep_alives = counter(
            "clkeepalived_keep_alives",
            "Keep-alives answered or given up, by outcome.",
            ("vcenter", "outcome"),
        )
        self._ends = counter(
            "clkeepalived_sessions_ended",
            "Sessions that reached a final state.",
            ("vcenter", "state"),
        )
        self._logins = counter(
            "clkeepalived_logins", "Login attempts, by outcome.", ("vcenter", "outcome")
        )
        self._source_errors = counter(
            "clkeepalived_source_errors",
            "Times a session source could not be read, or only in part.",
            ("source",),
        )
        self._source_broken = gauge(
            "clkeepalived_source_broken",
            "Whether a session source that has failed still cannot be read, or only in part.",
            ("source",),
        )
        self._durations = histogram(
            "clkeepalived_keep_alive_duration_seconds",
            "Duration of a keep-alive request.",
            buckets=_DURATIONS,
        )
        self._slacks = histogram(
            "clkeepalived_renewal_slack_seconds",
            "Time left before the deadline when a renewal succeeded; 0 if the session was overdue.",
            buckets=_SLACKS,
        )
        self._lags = histogram(
            "clkeepalived_schedule_lag_seconds",
            "Delay between the time a session was due and the renewal attempt.",
            buckets=_LAGS,
        )
        self._reload_successful = gauge(
            "clkeepalived_config_last_reload_successful",
            "Whether the configuration was valid when it was last read.",
        )
        self._reload_success_time = gauge(
            "clkeepalived_config_last_reload_success_timestamp_seconds",
            "When a valid configuration was last read.",
        )
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    @property
    def broken_sources(self) -> tuple[str, ...]:
        """The session sources that cannot be read at present, or only in part."""
        return tuple(sorted(self._broken_sources))

    def notify(self, event: Event) -> None:
        """Count an event."""
        match event:
            # The first three, which each keep-alive causes, are matched by type only: patterns for
            # their fields cost three times as much.
            case events.KeepAliveAnswered():
                key, outcome, seconds = event
                if (counters := self._vcenters.get(key.vcenter)) is not None:
                    counters.keep_alives[outcome]()
                    self._durations.observe(seconds)
            case events.AttemptStarted():
                self._lags.observe(event.lag)
            case events.Renewed():
                # The first renewal of a session has no slack.
                if event.slack is not None:
                    self._slacks.observe(max(event.slack, 0.0))
            case events.SessionEnd(key, state):
                if (counters := self._vcenters.get(key.vcenter)) is not None:
                    counters.ends[state]()
            case events.LoginTried(vcenter, outcome):
                if (counters := self._vcenters.get(vcenter)) is not None:
                    counters.logins[outcome]()
            case events.SourceFailed(source):
                self._source_failed(source)
            case events.SourceRecovered(source):
                self._broken_sources.discard(source)
                if self._source_cap.recover(source):
                    self._source_broken.labels(source).set(0)
                self._note_others()
            case events.VCenterAdded(vcenter):
                self._add_vcenter(vcenter)
            case events.VCenterRemoved(vcenter):
                self._remove_vcenter(vcenter)

    def _add_vcenter(self, vcenter: str) -> None:
        """Set all counters of a vCenter to 0, so that its first loss is an increase."""
        if vcenter in self._vcenters:
            return
        self._vcenters[vcenter] = _VCenterCounters(
            {outcome: self._keep_alives.labels(vcenter, outcome.value).inc for outcome in Outcome},
            {state: self._ends.labels(vcenter, state.value).inc for state in FINAL_STATES},
            {outcome: self._logins.labels(vcenter, outcome).inc for outcome in _LOGIN_OUTCOMES},
        )

    def _remove_vcenter(self, vcenter: str) -> None:
        counters = self._vcenters.pop(vcenter, None)
        if counters is None:
            return
        for outcome in counters.keep_alives:
            self._keep_alives.remove(vcenter, outcome.value)
        for state in counters.ends:
            self._ends.remove(vcenter, state.value)
        for login in counters.logins:
            self._logins.remove(vcenter, login)

    def configuration_read(self, *, successful: bool) -> None:
        """Note that the configuration was read, at the start or at a reload."""
        self.is_configuration_good = successful
        self._reload_successful.set(successful)
        if successful:
            self._reload_success_time.set(self._clock.wall())

    def _source_failed(self, source: str) -> None:
        self._broken_sources.add(source)
        is_shown, replaced = self._source_cap.admit(source)
        if replaced is not None:
            self._source_errors.remove(replaced)
            self._source_broken.remove(replaced)
        self._source_errors.labels(source if is_shown else OTHERS).inc()
        if is_shown:
            self._source_broken.labels(source).set(1)
        self._note_others()

    def _note_others(self) -> None:
        """Report whether a source without its own series is broken, once there was one."""
        is_broken = len(self._broken_sources) > self._source_cap.broken
        if is_broken or self._has_others:
            self._has_others = True
            self._source_broken.labels(OTHERS).set(is_broken)

    def scrape(
        self, state: str, accept: str = "", accept_encoding: str = ""
    ) -> tuple[bytes, dict[str, str]]:
        """Return the body and headers for a scrape with these request headers: the text of `state`
        and the counters. May run in a thread."""
        encode, content_type = choose_encoder(accept)
        body = state.encode() + encode(self.registry)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if gzip_accepted(accept_encoding):
            body = gzip.compress(body, compresslevel=6)
            headers["Content-Encoding"] = "gzip"
        return body, headers
