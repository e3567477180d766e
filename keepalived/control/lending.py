"""API tokens that uploaders lend with their holds: taken in, kept, replaced, never shown."""

from __future__ import annotations

from keepalived.control.requests import ProgressWish
from keepalived.control.room import Room
from keepalived.lease import session as core
from keepalived.lease.holds import Borrowed, Hold
from keepalived.lease.model import SessionKey


def lent(wish: ProgressWish, before: Hold | None) -> Borrowed | None:
    """Return the token that a hold has after a request: the one before, unless it says otherwise.

    One that was refused stays refused, however often it is lent.
    """
    token = before.token if before is not None else None
    if "token" not in wish.given:
        return token
    if wish.token is None:
        return None
    value = wish.token.reveal()
    return token if token is not None and token.value == value else Borrowed(value)


def try_at_once(room: Room, key: SessionKey, hold: Hold, before: Hold | None) -> None:
    """Renew a session with a token that has just been lent: its API session may be about to end."""
    if hold.token is None or (before is not None and before.token == hold.token):
        return
    session = room.registry.find(key)
    if session is not None and not session.state.is_final:
        room.registry.commit(core.hasten(session, room.clock.boot()), ())
