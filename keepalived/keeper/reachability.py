"""Whether a vCenter can be reached, judged by the answers to all requests."""

from __future__ import annotations

from keepalived.lease import timing
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.latency import UNKNOWN

FAILURES_UNTIL_DOWN = 3
_REFUSED_LOOK = 2.0


class Reachability:
    """Counts failures in a row, schedules probes while the vCenter is down, and estimates latency.

    The back-off between probes is reset only when a session's own request succeeds, so that a
    vCenter that answers nothing but probes is not probed ever faster.
    """

    def __init__(self) -> None:
        self.down_since: float | None = None
        self.last_outcome = Outcome.OK
        self.pace = UNKNOWN
        self._failures = 0
        self._probes = 0

    @property
    def is_up(self) -> bool:
        """Whether requests for sessions may be sent; True until proven otherwise."""
        return self.down_since is None

    def note(self, answer: Answer[object]) -> bool:
        """Process any answer; return True if the vCenter went down or came up by it."""
        if answer.outcome is Outcome.NOT_SENT:
            return False
        self.last_outcome = answer.outcome
        self.pace = self.pace.after(answer.outcome, answer.received_at - answer.sent_at)
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
        """Reset the back-off of probes, because a session's own request succeeded."""
        self._probes = 0

    def probe_timeout(self, slack: float | None, lifetime: float) -> float:
        """Return how long to wait for the answer to a probe, given the smallest positive slack."""
        return timing.request_timeout(0, slack, lifetime, self.pace)

    def probe_delay(
        self, slack: float | None, lifetime: float, retry_after: float | None, u: float
    ) -> float:
        """Return the wait before the next probe, given the smallest positive slack there is."""
        self._probes += 1
        delay = timing.retry_delay(self._probes, slack, lifetime, u)
        if self.last_outcome is Outcome.LOGIN_REFUSED:
            # Refused credentials cost no request until they change on disk or a minute has passed.
            return min(delay, _REFUSED_LOOK)
        return timing.asked_delay(delay, retry_after, slack, lifetime)
