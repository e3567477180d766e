"""An estimate of how fast a vCenter answers, from which request timeouts are computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived.lease.answers import Outcome

_FORGETTING = 0.25
_NOTABLE = 0.01


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """What is known of one vCenter's answer times, in seconds.

    `usual` is how long an answer takes: a slower answer raises it at once, faster ones lower it
    slowly. `waited` is the longest wait without an answer since the last answer.
    """

    usual: float = 0.0
    waited: float = 0.0

    def after(self, outcome: Outcome, seconds: float) -> LatencyEstimate:
        """Return what is known after a request that ended this way, `seconds` after it was sent."""
        if outcome is Outcome.TIMED_OUT:
            return replace(self, waited=max(self.waited, seconds))
        if outcome is not Outcome.OK:
            # A proxy in front of the vCenter may send a refusal, which says nothing about its
            # speed.
            return self
        if not self.waited and abs(seconds - self.usual) < _NOTABLE:
            return self
        slower = seconds > self.usual
        usual = seconds if slower else self.usual + _FORGETTING * (seconds - self.usual)
        return LatencyEstimate(usual)


UNKNOWN = LatencyEstimate()
"""The estimate for a vCenter that was not asked yet."""
