"""Sends responses of any length: event streams, and lists in slices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import structlog
from aiohttp import hdrs, web

from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import JSON, to_json
from keepalived.control.event_stream import StreamEntry
from keepalived.control.replies import EventLine
from keepalived.control.requests import EventQuery, NoParams
from keepalived.control.views import wall_time
from keepalived.host.slices import PAUSE_SECONDS
from keepalived.lease.model import SessionKey
from keepalived.validation import Model

T = TypeVar("T")

MEDIA_TYPE = "application/x-ndjson"

_SLICE = 50
"""Entries of a list per slice, which takes about 3 ms."""

log = structlog.get_logger("clkeepalived")


async def stream_events(
    context: ControlContext, call: Call[NoParams, EventQuery, None]
) -> web.StreamResponse:
    """Stream the events of the caller's sessions until either side closes the connection."""
    query = call.query
    vcenter = None if query.vcenter is None else context.vcenter(query.vcenter)

    def wants(entry: StreamEntry) -> bool:
        where, _, session_id = entry.key or (entry.vcenter, None, None)
        return (
            vcenter in (None, where)
            and query.id in (None, session_id)
            and context.may_see(call.caller, entry)
        )

    with context.events.subscribe(wants, context.limits.events_waiting) as subscription:
        response = await begin(call.request)
        await write(response, line(StreamEntry("stream_started", context.clock.wall())))
        while (entry := await subscription.next()) is not None:
            await context.turns.take(call.caller.uid)
            await write(response, line(entry))
    return response


async def begin(request: web.Request, status: int = 200) -> web.StreamResponse:
    """Send the status line and headers of a stream."""
    response = web.StreamResponse(status=status, headers={hdrs.CONTENT_TYPE: MEDIA_TYPE})
    await response.prepare(request)
    return response


async def write(response: web.StreamResponse, model: Model) -> None:
    """Send one line. Wait if the reader is slow."""
    await response.write(to_json(model) + b"\n")


def line(entry: StreamEntry) -> EventLine:
    """Return an entry as one line of the stream."""
    vcenter, kind, session_id = entry.key or (entry.vcenter, None, None)
    facts: dict[str, Any] = dict(entry.facts)
    return EventLine(
        event=entry.name,
        at=wall_time(entry.at),
        vcenter=vcenter,
        kind=kind,
        id=session_id,
        uid=entry.uid,
        **facts,
    )


async def send_list(
    context: ControlContext,
    request: web.Request,
    head: bytes,
    items: Iterable[tuple[SessionKey, T]],
    to_model: Callable[[T], Model],
) -> web.StreamResponse:
    """Send a JSON object: `head`, and the items as the array at its end.

    Slices are built one at a time, even for several lists. An item that cannot be encoded is
    logged and left out.
    """
    response = web.StreamResponse()
    response.content_type = JSON
    await response.prepare(request)
    await _write_part(context, request, response, head + b"[")
    remaining = iter(items)
    comma = b""
    is_more = True
    while is_more:
        async with context.slices:
            some = list(islice(remaining, _SLICE))
            texts = [text for key, each in some if (text := _text(key, to_model, each)) is not None]
            is_more = len(some) == _SLICE
            await asyncio.sleep(PAUSE_SECONDS if is_more else 0)
        if texts:
            await _write_part(context, request, response, comma + b",".join(texts))
            comma = b","
    await _write_part(context, request, response, b"]}")
    return response


def _text(key: SessionKey, to_model: Callable[[T], Model], item: T) -> bytes | None:
    try:
        return to_json(to_model(item))
    except Exception:
        log.exception("session_not_listed", vcenter=key.vcenter, session_id=key.id)
        return None


async def _write_part(
    context: ControlContext, request: web.Request, response: web.StreamResponse, part: bytes
) -> None:
    try:
        async with asyncio.timeout(context.limits.request_seconds):
            await response.write(part)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader of a list has stopped reading") from None
