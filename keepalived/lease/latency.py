"""Estimates how fast a vCenter answers, for computing request timeouts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived.lease.answers import Outcome

_DECAY = 0.25
_NEGLIGIBLE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """The estimated answer time of one vCenter, in seconds.

    `usual` is how long an answer takes: a slower answer raises it at once, faster ones lower it
    slowly. `waited` is the longest timeout since the last answer.
    """

    usual: float = 0.0
    waited: float = 0.0

    def after(self, outcome: Outcome, seconds: float) -> LatencyEstimate:
        """Return the estimate after a request that ended `seconds` after it was sent."""
        if outcome is Outcome.TIMED_OUT:
            return replace(self, waited=max(self.waited, seconds))
        if outcome is not Outcome.OK:
            # A refusal may come from a proxy, and says nothing about the vCenter's speed.
            return self
        if not self.waited and abs(seconds - self.usual) < _NEGLIGIBLE_SECONDS:
            return self
        slower = seconds > self.usual
        usual = seconds if slower else self.usual + _DECAY * (seconds - self.usual)
        return LatencyEstimate(usual)


UNKNOWN = LatencyEstimate()
"""The estimate for a vCenter that has not answered yet."""
