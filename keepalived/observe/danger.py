"""Which sessions are in danger, found without a look at all of them while none is."""

from __future__ import annotations

from math import inf

from keepalived.host.slices import Slices
from keepalived.keeper.observer import Overview
from keepalived.lease.session import Session, at_risk_among

_STEP = 1000
"""Sessions in a step: a millisecond's worth, or two."""


def in_danger(overview: Overview) -> Slices[list[Session]]:
    """Return, in slices, the sessions at risk in the vCenters there are, the overdue included."""
    roll, now = overview.roll, overview.now
    names = {vcenter.name for vcenter in overview.vcenters}
    if now < min((roll.standing(name).first_at_risk for name in names), default=inf):
        return []
    sessions = tuple(roll.live.values())
    found: list[Session] = []
    for first in range(0, len(sessions), _STEP):
        if first:
            yield
        found += at_risk_among(sessions[first : first + _STEP], now)
    return [session for session in found if session.key.vcenter in names]
