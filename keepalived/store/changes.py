"""Between the core's words and what is written: one change to one row, or to rows of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.lease.words import sayable
from keepalived.store.tables import HOLD, SESSION, Value
from keepalived.store.times import Times

_MOST = 2**63 - 1
"""The greatest whole number that SQLite takes."""

_DELETE_HOLD = (
    "DELETE FROM hold WHERE vcenter=? AND kind=? AND id=? AND uid=? AND owner_kind=? AND owner_id=?"
)
_DELETE_HOLDS = "DELETE FROM hold WHERE vcenter=? AND kind=? AND id=?"
_DELETE_SESSION = "DELETE FROM session WHERE vcenter=? AND kind=? AND id=?"


@dataclass(frozen=True, slots=True)
class Change:
    """One statement. `subject` is the table and what identifies the row (or rows) in it.

    Of changes to the same subject only the last one counts. Values are secret: tokens are there.
    """

    subject: tuple[Value, ...]
    statement: str
    values: tuple[Value, ...] = field(repr=False)

    @property
    def is_about_holds(self) -> bool:
        """Whether rows that can hold a token are changed."""
        return self.subject[0] == HOLD.name


SCRUB = Change((HOLD.name,), "UPDATE hold SET token = NULL WHERE token IS NOT NULL", ())
"""Takes the tokens out of all the rows."""


def put_hold(key: SessionKey, hold: Hold, times: Times, *, with_token: bool) -> Change:
    """Write a hold, in the place of the same party's earlier one."""
    progress, party = hold.progress, _party(key, hold.uid, hold.owner)
    values = (
        *(*party, times.boot_id),
        *times.both(hold.since),
        *times.both(hold.until),
        *(progress.percent, progress.done, progress.total, hold.note),
        hold.token.value if with_token and hold.token else None,
    )
    return Change((HOLD.name, *party), HOLD.put, values)


def delete_hold(key: SessionKey, uid: int, owner: Owner) -> Change:
    """Remove a party's hold."""
    party = _party(key, uid, owner)
    return Change((HOLD.name, *party), _DELETE_HOLD, party)


def delete_holds(key: SessionKey) -> Change:
    """Remove all the holds on a session."""
    return Change((HOLD.name, *_id(key)), _DELETE_HOLDS, _id(key))


def delete_session(key: SessionKey) -> Change:
    """Remove what is known of a session."""
    return Change((SESSION.name, *_id(key)), _DELETE_SESSION, _id(key))


@dataclass(frozen=True, slots=True)
class PutSession:
    """Write what is known of a session, with how it ended if it has.

    A change like the others, but that its values are made when it is written, in the thread that
    writes.
    """

    session: Session
    ended_at: float | None
    times: Times

    statement: ClassVar[str] = SESSION.put
    is_about_holds: ClassVar[bool] = False

    @property
    def subject(self) -> tuple[Value, ...]:
        """The table, and what identifies the row in it."""
        return (SESSION.name, *_id(self.session.key))

    @property
    def values(self) -> tuple[Value, ...]:
        """The whole row."""
        session, times = self.session, self.times
        target, item = session.target, session.item
        ending = session.ending if self.ended_at is not None else None
        return (
            *(*_id(session.key), times.boot_id),
            *times.both(session.since),
            *times.both(session.renewed_at),
            *(session.configured_lifetime, session.lifetime, session.renewals),
            _fitting(session.acknowledged),
            _words(target.item_id if target else None),
            _words(target.content_version if target else None),
            _words(item.name if item else None),
            _words(item.content_version if item else None),
            _words(item.library if item else None),
            *times.both(self.ended_at),
            ending.state.value if ending else None,
            _words(ending.reason if ending else None),
            _words(ending.error_message if ending else None),
            ending.content_moved if ending else None,
            *times.both(session.moved_at),
        )


@dataclass(frozen=True, slots=True)
class PutSessions:
    """Write what is known of many sessions, none of which has ended.

    There are thousands of these at a time, and the event loop has better things to do than to make
    a change of each.
    """

    sessions: tuple[Session, ...]
    times: Times

    is_about_holds: ClassVar[bool] = False


AnyChange = Change | PutSession | PutSessions


def single(change: AnyChange) -> Iterator[Change | PutSession]:
    """Return the changes to one row, or to rows of one kind, that a change consists of."""
    if isinstance(change, PutSessions):
        for session in change.sessions:
            yield PutSession(session, None, change.times)
    else:
        yield change


def _party(key: SessionKey, uid: int, owner: Owner) -> tuple[Value, ...]:
    return *_id(key), uid, owner.kind.value, owner.id


def _id(key: SessionKey) -> tuple[Value, ...]:
    return key.vcenter, key.kind.value, key.id


# What a server says is for people to read: whatever it is, it must not keep an end off the disk.


def _words(text: str | None) -> str | None:
    """Return a server's text with what UTF-8 cannot say (half characters) written as escapes."""
    return None if text is None else sayable(text)


def _fitting(number: int | None) -> int | None:
    """Return a server's number, or None for one that SQLite cannot take."""
    return number if number is not None and -_MOST <= number <= _MOST else None
