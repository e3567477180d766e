"""Limit the number of metric series: choose the sessions and sources that get their own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session

OTHERS = "others"
"""The label value for all sources without their own series."""


class SeriesLimiter:
    """Chooses at most `size` sessions, and the same ones again while they live.

    A changing choice would leave gaps in every graph. Sessions at risk are added beyond `size`
    while they are at risk. Ended sessions fill the places that live ones leave free.
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
        """Return the chosen sessions of these vCenters, live before ended ones; `at_risk` are live.

        The cost depends on `size`, not on the number of sessions.
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
    """Chooses at most `size` session sources: broken ones before recovered ones.

    Users who may write session files choose the file names. Without a limit, each broken file with
    a new name would add a series.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._broken: set[str] = set()
        self._recovered: dict[str, None] = {}

    @property
    def broken(self) -> int:
        """How many of the chosen sources are broken now."""
        return len(self._broken)

    def admit(self, source: str) -> tuple[bool, str | None]:
        """Return whether a failed source is chosen, and the name of the one it replaces."""
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
        """Note that a source is good again, or gone; return whether it was chosen."""
        if source in self._broken:
            self._broken.remove(source)
            self._recovered[source] = None
        return source in self._recovered
