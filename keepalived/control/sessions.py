"""Looking at sessions, and renewing them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

import structlog
from aiohttp import web

from keepalived.control.encoding import to_json
from keepalived.control.problems import Problem, ProblemError
from keepalived.control.replies import KeepAliveReply, SessionReply
from keepalived.control.requests import KindQuery, ListQuery, Nothing, SessionPath
from keepalived.control.room import Call, Reply, Room
from keepalived.control.traces import log_by
from keepalived.control.views import View
from keepalived.lease.session import Session
from keepalived.lease.timing import RENEWAL_PAUSE

log = structlog.get_logger("clkeepalived")

_SLICE = 100  # sessions between two looks at what else is to be done: some 5 ms


async def list_sessions(room: Room, call: Call[Nothing, ListQuery, None]) -> web.StreamResponse:
    """List the sessions that the caller may see, in slices, so that nobody else has to wait."""
    wanted = list(_wanted(room, call))
    response = web.StreamResponse()
    response.content_type = "application/json"
    await response.prepare(call.request)
    await _write(room, call.request, response, b'{"sessions":[')
    view = room.view(call.caller)
    remaining = iter(wanted)
    comma = b""
    while some := list(islice(remaining, _SLICE)):
        texts = [text for session in some if (text := _text(view, session)) is not None]
        if texts:
            await _write(room, call.request, response, comma + b",".join(texts))
            comma = b","
        await asyncio.sleep(0)
    await _write(room, call.request, response, b"]}")
    return response


def _text(view: View, session: Session) -> bytes | None:
    """Return a session as JSON; None for one that cannot be said, so that the others are."""
    try:
        return to_json(view.session(session))
    except Exception:
        log.exception("session_not_listed", vcenter=session.key.vcenter, session_id=session.key.id)
        return None


def _wanted(room: Room, call: Call[Nothing, ListQuery, None]) -> Iterator[Session]:
    query = call.query
    vcenter = None if query.vcenter is None else room.vcenter(query.vcenter)
    room.holders.catch_up()
    visible: Iterable[Session] = room.registry
    if query.mine or not call.caller.is_admin:
        visible = room.holders.sessions_of(call.caller.uid)
    for session in visible:
        if vcenter in (None, session.key.vcenter) and (
            not query.state or session.state in query.state
        ):
            yield session


async def _write(
    room: Room, request: web.Request, response: web.StreamResponse, part: bytes
) -> None:
    try:
        async with asyncio.timeout(room.limits.request_seconds):
            await response.write(part)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader of a list has stopped reading") from None


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
