"""Looking at sessions, and renewing them at once."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from keepalived.control.problems import Problem, ProblemError
from keepalived.control.replies import KeepAliveReply, SessionReply
from keepalived.control.requests import KindQuery, ListQuery, Nothing, SessionPath
from keepalived.control.room import Call, Reply, Room
from keepalived.control.streams import send_list
from keepalived.control.traces import log_by
from keepalived.lease.session import Session
from keepalived.lease.timing import RENEWAL_PAUSE


async def list_sessions(room: Room, call: Call[Nothing, ListQuery, None]) -> web.StreamResponse:
    """List the sessions that the caller may see."""
    wanted = [(session.key, session) for session in _wanted(room, call)]
    view = room.view(call.caller)
    return await send_list(room, call.request, b'{"sessions":', wanted, view.session)


def _wanted(room: Room, call: Call[Nothing, ListQuery, None]) -> Iterator[Session]:
    query = call.query
    vcenter = None if query.vcenter is None else room.vcenter(query.vcenter)
    for session in room.sessions(call.caller, mine=query.mine):
        if vcenter in (None, session.key.vcenter) and (
            not query.state or session.state in query.state
        ):
            yield session


async def get_session(room: Room, call: Call[SessionPath, KindQuery, None]) -> Reply:
    """Return one session."""
    session = room.session(call.caller, room.key(call, call.query))
    return Reply(_seen(room, call, session))


async def renew_session(room: Room, call: Call[SessionPath, KindQuery, None]) -> Reply:
    """Send a keep-alive now, and say how it was answered."""
    key = room.key(call, call.query)
    room.session(call.caller, key)
    answer = await room.registry.renew_now(key, RENEWAL_PAUSE)
    if answer is None:
        raise ProblemError(
            Problem.SESSION_ENDED,
            "the session has ended: nothing is sent for it any more; GET it to see how it ended",
        )
    log_by(call.caller, "renewed_by", key, outcome=answer.outcome.value)
    session = room.session(call.caller, key)
    reply = KeepAliveReply(
        outcome=answer.outcome, detail=answer.detail, session=_seen(room, call, session)
    )
    return Reply(reply)


def _seen(room: Room, call: Call[SessionPath, KindQuery, None], session: Session) -> SessionReply:
    return room.view(call.caller).session(session)
