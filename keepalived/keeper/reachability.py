"""Whether a vCenter can be reached, when to probe it while it is down, and how fast it answers."""

from __future__ import annotations

from keepalived.lease import timing
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.latency import UNKNOWN

FAILURES_UNTIL_DOWN = 3
_REFUSED_PROBE_SECONDS = 2.0


class Reachability:
    """Counts failures in a row, schedules probes while the vCenter is down, and estimates latency.

    The back-off between probes is reset only when a keep-alive succeeds. Otherwise a vCenter that
    answers only probes would be probed at the shortest interval.
    """

    def __init__(self) -> None:
        self.down_since: float | None = None
        self.last_outcome = Outcome.OK
        self.latency = UNKNOWN
        self._failures = 0
        self._probes = 0

    @property
    def is_up(self) -> bool:
        """Whether requests for sessions may be sent; True until proven otherwise."""
        return self.down_since is None

    def note(self, answer: Answer[object]) -> bool:
        """Process an answer to any request; return True if the vCenter went down or came up."""
        if answer.outcome is Outcome.NOT_SENT:
            return False
        self.last_outcome = answer.outcome
        self.latency = self.latency.after(answer.outcome, answer.received_at - answer.sent_at)
        if not answer.outcome.is_vcenter_failure:
            self._failures = 0
            was_down, self.down_since = self.down_since is not None, None
            return was_down
        self._failures += 1
        if self._failures < FAILURES_UNTIL_DOWN or self.down_since is not None:
            return False
        self.down_since = answer.sent_at
        return True

    def proven(self) -> None:
        """Reset the back-off between probes, because a keep-alive succeeded."""
        self._probes = 0

    def probe_timeout(self, slack: float | None, lifetime: float) -> float:
        """Return the timeout of a probe, given the smallest positive slack of all sessions."""
        return timing.request_timeout(0, slack, lifetime, self.latency)

    def probe_delay(
        self, slack: float | None, lifetime: float, retry_after: float | None, u: float
    ) -> float:
        """Return the delay before the next probe, given the smallest positive slack of all."""
        self._probes += 1
        delay = timing.retry_delay(self._probes, slack, lifetime, u)
        if self.last_outcome is Outcome.LOGIN_REFUSED:
            # Refused credentials cost no request until they change on disk or a minute has passed.
            return min(delay, _REFUSED_PROBE_SECONDS)
        return timing.delay_with_retry_after(delay, retry_after, slack, lifetime)
