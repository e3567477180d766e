"""Handlers that return held or recently ended sessions, or renew one at once."""

from __future__ import annotations

from aiohttp import web

from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import json_answer
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.replies import KeepAliveReply
from keepalived.control.requests import KindQuery, ListQuery, NoParams, SessionPath
from keepalived.control.streams import send_list
from keepalived.lease.timing import RENEWAL_PAUSE


async def list_sessions(
    context: ControlContext, call: Call[NoParams, ListQuery, None]
) -> web.StreamResponse:
    """List the sessions that the caller may see."""
    query = call.query
    vcenter = None if query.vcenter is None else context.vcenter(query.vcenter)
    wanted = [
        (session.key, session)
        for session in context.sessions(call.caller, mine=query.mine)
        if vcenter in (None, session.key.vcenter)
        and (not query.state or session.state in query.state)
    ]
    view = context.view(call.caller)
    return await send_list(context, call.request, b'{"sessions":', wanted, view.session)


async def get_session(
    context: ControlContext, call: Call[SessionPath, KindQuery, None]
) -> web.Response:
    """Return one session."""
    return json_answer(context.session_reply(call.caller, context.key(call)))


async def renew_session(
    context: ControlContext, call: Call[SessionPath, KindQuery, None]
) -> web.Response:
    """Send a keep-alive now, and return the server's response."""
    key = context.key(call)
    context.session(call.caller, key)
    answer = await context.registry.renew_now(key, RENEWAL_PAUSE)
    if answer is None:
        raise ProblemError(
            ProblemType.SESSION_ENDED,
            "the session has ended and is no longer renewed; GET it to see how it ended",
        )
    call.caller.log("renewed_by", key, outcome=answer.outcome.value)
    session = context.session_reply(call.caller, key)
    reply = KeepAliveReply(outcome=answer.outcome, detail=answer.detail, session=session)
    return json_answer(reply)
