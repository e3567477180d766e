"""Holds by user: which sessions each caller may see, and how much each uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from keepalived.lease.events import Event, HoldChanged, HoldReleased, HoldTaken, SessionForgotten
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session

DAEMONS_OWN = frozenset({OwnerKind.FILE, OwnerKind.DISCOVERY})
"""The owners of holds that were not taken over the socket."""


class HolderKey(NamedTuple):
    """Identifies a hold within a session. Each user has at most one per owner."""

    uid: int
    owner: Owner


class Usage(NamedTuple):
    """The number of holds, and the bytes of their texts."""

    holds: int = 0
    bytes: int = 0


class HoldIndex:
    """A listener that counts each user's sessions and holds.

    A session that has ended belongs to its last holders until it is forgotten.
    """

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self._counts: dict[int, dict[SessionKey, int]] = {}
        self._usages: dict[int | None, Usage] = {}
        for session in sessions:
            for hold in session.holds:
                self.notify(HoldTaken(session.key, hold))

    def notify(self, event: Event) -> None:
        """Count a hold that is taken, changed or released."""
        match event:
            case HoldTaken(key, hold):
                counts = self._counts.setdefault(hold.uid, {})
                counts[key] = counts.get(key, 0) + 1
                self._use(hold, 1)
            case HoldChanged(_, before, hold):
                self._use(before, -1)
                self._use(hold, 1)
            case HoldReleased(key, hold, state):
                counts = self._counts[hold.uid]
                counts[key] -= 1
                if not counts[key] and not state.is_final:
                    self._drop(hold.uid, key)
                self._use(hold, -1)
            case SessionForgotten(key):
                for uid in [uid for uid, counts in self._counts.items() if key in counts]:
                    self._drop(uid, key)

    def sees(self, uid: int, key: SessionKey) -> bool:
        """Whether a session, live or ended, is one of this user's."""
        return key in self.sessions_of(uid)

    def sessions_of(self, uid: int) -> Collection[SessionKey]:
        """Return a view of the sessions that a user holds, or held until they ended."""
        return self._counts.get(uid, {}).keys()

    def usage(self, uid: int | None = None) -> Usage:
        """Return what a user's live holds use; for None, what all users' holds use."""
        return self._usages.get(uid, Usage())

    def _drop(self, uid: int, key: SessionKey) -> None:
        del self._counts[uid][key]
        if not self._counts[uid]:
            del self._counts[uid]

    def _use(self, hold: Hold, sign: int) -> None:
        if hold.owner.kind in DAEMONS_OWN:
            return
        size = sign * size_of(hold)
        for uid in (None, hold.uid):
            before = self._usages.pop(uid, Usage())
            if before.holds + sign:
                self._usages[uid] = Usage(before.holds + sign, before.bytes + size)


def size_of(hold: Hold) -> int:
    """Return the bytes of a hold's texts: its note, its token and its owner's name."""
    token = 0 if hold.token is None else len(hold.token.value)
    return len(hold.note.encode()) + token + len(hold.owner.id)
