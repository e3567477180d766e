"""Which sessions get metric series of their own when there are more than may have some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session


class Candidates:
    """Of the sessions that are offered, those from whom a cap may choose: the members, and as many
    others as there can be places. So few are left of very many, in the order of their offer."""

    def __init__(self, members: frozenset[SessionKey], places: int) -> None:
        self._members = members
        self._places = places
        self._standing: list[Session] = []
        self._others: list[Session] = []

    def offer(self, session: Session) -> None:
        """Keep the session if it may be chosen."""
        if session.key in self._members:
            self._standing.append(session)
        elif len(self._others) < self._places:
            self._others.append(session)

    def __iter__(self) -> Iterator[Session]:
        yield from self._standing
        yield from self._others


class StableCap:
    """Chooses at most `size` sessions, and the same ones again for as long as they live.

    Membership that wavered would tear holes into every graph. Sessions at risk are chosen whatever
    the size, but only for as long as they are; ended ones fill the room that nobody else needs.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._members: frozenset[SessionKey] = frozenset()

    def candidates(self) -> Candidates:
        """Return what sessions are offered to before some of them are chosen."""
        return Candidates(self._members, self.size)

    def choose(
        self,
        live: Iterable[Session],
        ended: Iterable[Session],
        at_risk: Iterable[Session],
    ) -> list[Session]:
        """Return who is shown, the live before the ended; `at_risk` are live ones.

        The first two are gone through more than once.
        """
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
