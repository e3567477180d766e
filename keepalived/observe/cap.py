"""Which sessions get metric series of their own when there are more than may have some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session


class StableCap:
    """Chooses at most `size` sessions, and the same ones again for as long as they live.

    Membership that wavered would tear holes into every graph. Sessions at risk are chosen whatever
    the size, but only for as long as they are; ended ones fill the room that nobody else needs.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._members: frozenset[SessionKey] = frozenset()

    def choose(
        self,
        live: Sequence[Session],
        ended: Sequence[Session],
        at_risk: Iterable[Session],
    ) -> list[Session]:
        """Return who is shown, the live before the ended; `at_risk` is part of `live`."""
        chosen: list[Session] = []
        for candidates in (live, ended):
            for standing in (True, False):
                room = self.size - len(chosen)
                if room > 0:
                    chosen += islice(
                        (s for s in candidates if (s.key in self._members) is standing), room
                    )
        self._members = frozenset(session.key for session in chosen)
        extra = [session for session in at_risk if session.key not in self._members]
        return extra + chosen
