"""How fast a vCenter answers, as far as its answers tell: what a request's timeout goes by."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived.lease.answers import Outcome

_FORGETTING = 0.25
_NOTABLE = 0.01


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """What was learned of one vCenter, in seconds.

    `usual` is what an answer takes: a slower one counts at once, faster ones bring it down slowly.
    `waited` is the longest that was waited in vain since the last answer.
    """

    usual: float = 0.0
    waited: float = 0.0

    def after(self, outcome: Outcome, seconds: float) -> LatencyEstimate:
        """Return what is known after a request that ended this way, `seconds` after it was sent."""
        if outcome is Outcome.TIMED_OUT:
            return replace(self, waited=max(self.waited, seconds))
        if outcome is not Outcome.OK:
            # A refusal may come from whoever stands in front of the vCenter, and cost it nothing.
            return self
        if not self.waited and abs(seconds - self.usual) < _NOTABLE:
            return self
        slower = seconds > self.usual
        usual = seconds if slower else self.usual + _FORGETTING * (seconds - self.usual)
        return LatencyEstimate(usual)


UNKNOWN = LatencyEstimate()
"""Of a vCenter that was not asked yet."""
