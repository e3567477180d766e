"""NDJSON streams: a line for each thing that happens, for as long as somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import hdrs, web

from keepalived.control.base import Model
from keepalived.control.encoding import to_json
from keepalived.control.replies import EventLine
from keepalived.control.requests import EventQuery, Nothing
from keepalived.control.room import Call, Room
from keepalived.control.views import wall_time
from keepalived.lease.words import sayable
from keepalived.observe.feed import Event, Subscription

MEDIA_TYPE = "application/x-ndjson"


async def stream_events(room: Room, call: Call[Nothing, EventQuery, None]) -> web.StreamResponse:
    """Say what happens to the caller's sessions, until one of the two has had enough."""
    query = call.query
    vcenter = None if query.vcenter is None else room.vcenter(query.vcenter)

    def wants(event: Event) -> bool:
        where, _, session_id = event.key or (event.vcenter, None, None)
        return (
            vcenter in (None, where)
            and query.id in (None, session_id)
            and room.hears(call.caller, event)
        )

    with listening(room, wants) as subscription:
        response = await begin(call.request)
        started = EventLine(event="stream_started", at=wall_time(room.clock.wall()))
        await write(response, started)
        while (event := await subscription.next()) is not None:
            await write(response, line(event))
    return response


@contextmanager
def listening(room: Room, wants: Callable[[Event], bool]) -> Iterator[Subscription]:
    """Subscribe to events, until the context or the room is closed."""
    with room.feed.subscribe(wants, room.limits.events_waiting) as subscription:
        room.streams.add(subscription)
        try:
            yield subscription
        finally:
            room.streams.discard(subscription)


async def begin(
    request: web.Request, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send the head of a stream."""
    response = web.StreamResponse(status=status, headers=headers)
    response.headers[hdrs.CONTENT_TYPE] = MEDIA_TYPE
    await response.prepare(request)
    return response


async def write(response: web.StreamResponse, model: Model) -> None:
    """Send one line. Waits for a reader that is behind."""
    omitted = isinstance(model, EventLine)
    await response.write(to_json(model, exclude_none=omitted) + b"\n")


def line(event: Event) -> EventLine:
    """Return an event as one line says it."""
    vcenter, kind, session_id = event.key or (event.vcenter, None, None)
    return EventLine.model_validate(
        {
            "event": event.name,
            "at": wall_time(event.at),
            "vcenter": vcenter,
            "kind": kind,
            "id": session_id,
            "uid": event.uid,
            **{
                name: sayable(fact) if isinstance(fact, str) else fact
                for name, fact in event.facts.items()
            },
        }
    )
