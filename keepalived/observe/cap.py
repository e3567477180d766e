"""What gets metric series of its own where there is more of it than may have some."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session

OTHERS = "others"
"""In the place of a source's name: all that have no series of their own."""


class SeriesLimiter:
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


class SourceLimiter:
    """Chooses at most `size` sources of sessions: those that are broken before those that were.

    Everybody who may write session files chooses their names: without a limit, each broken file of
    a new name would add series for ever.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._broken: set[str] = set()
        self._recovered: dict[str, None] = {}

    @property
    def broken(self) -> int:
        """How many of them are broken now."""
        return len(self._broken)

    def admit(self, source: str) -> tuple[bool, str | None]:
        """Say whether a source that has failed is one of them, and which one it replaces."""
        self._recovered.pop(source, None)
        replaced = None
        if source not in self._broken and len(self._broken) + len(self._recovered) >= self._size:
            replaced = next(iter(self._recovered), None)
            if replaced is None:
                return False, None
            del self._recovered[replaced]
        self._broken.add(source)
        return True, replaced

    def recover(self, source: str) -> bool:
        """Note that a source is good again, or gone; return whether it is one of them."""
        if source in self._broken:
            self._broken.remove(source)
            self._recovered[source] = None
        return source in self._recovered
