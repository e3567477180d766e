"""Which sessions get metric series of their own when there are more than may have some."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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
        self._members: dict[SessionKey, None] = {}

    def choose(
        self,
        live: Mapping[SessionKey, Session],
        ended: Mapping[SessionKey, Session],
        at_risk: Iterable[Session],
        vcenters: Collection[str],
    ) -> list[Session]:
        """Return who is shown of these vCenters, the live before the ended; `at_risk` are live.

        However many there are, not many more than are chosen are looked at.
        """
        chosen: list[Session] = []
        for sessions in (live, ended):
            found = (sessions.get(key) for key in self._members if key.vcenter in vcenters)
            standing = [session for session in found if session is not None]
            chosen += standing[: self.size - len(chosen)]
            room = self.size - len(chosen)
            if room > 0 and len(standing) < len(sessions):
                others = (
                    session
                    for key, session in sessions.items()
                    if key not in self._members and key.vcenter in vcenters
                )
                chosen += islice(others, room)
        self._members = {session.key: None for session in chosen}
        extra = [session for session in at_risk if session.key not in self._members]
        return extra + chosen
