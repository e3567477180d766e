"""Looking at sessions, and renewing them at once."""

from __future__ import annotations

from aiohttp import web

from keepalived.control.encoding import json_answer
from keepalived.control.problems import Problem, ProblemError
from keepalived.control.replies import KeepAliveReply
from keepalived.control.requests import KindQuery, ListQuery, Nothing, SessionPath
from keepalived.control.room import Call, Room
from keepalived.control.streams import send_list
from keepalived.lease.timing import RENEWAL_PAUSE


async def list_sessions(room: Room, call: Call[Nothing, ListQuery, None]) -> web.StreamResponse:
    """List the sessions that the caller may see."""
    query = call.query
    vcenter = None if query.vcenter is None else room.vcenter(query.vcenter)
    wanted = [
        (session.key, session)
        for session in room.sessions(call.caller, mine=query.mine)
        if vcenter in (None, session.key.vcenter)
        and (not query.state or session.state in query.state)
    ]
    view = room.view(call.caller)
    return await send_list(room, call.request, b'{"sessions":', wanted, view.session)


async def get_session(room: Room, call: Call[SessionPath, KindQuery, None]) -> web.Response:
    """Return one session."""
    return json_answer(room.seen(call.caller, room.key(call)))


async def renew_session(room: Room, call: Call[SessionPath, KindQuery, None]) -> web.Response:
    """Send a keep-alive now, and say how it was answered."""
    key = room.key(call)
    room.session(call.caller, key)
    answer = await room.registry.renew_now(key, RENEWAL_PAUSE)
    if answer is None:
        raise ProblemError(
            Problem.SESSION_ENDED,
            "the session has ended: nothing is sent for it any more; GET it to see how it ended",
        )
    call.caller.log("renewed_by", key, outcome=answer.outcome.value)
    session = room.seen(call.caller, key)
    reply = KeepAliveReply(outcome=answer.outcome, detail=answer.detail, session=session)
    return json_answer(reply)
