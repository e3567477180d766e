"""Every route of the control socket: the one place that says what it takes and what it answers.

The server's routing, the checking of requests and the OpenAPI document all come from this table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic

from aiohttp import web

from keepalived.control import account, holds, overview, sessions, streams
from keepalived.control.account import AccountList, CancelQuery, CancelReply
from keepalived.control.problems import Problem
from keepalived.control.replies import (
    EventLine,
    KeepAliveReply,
    ReleaseReply,
    ReloadReply,
    SessionList,
    SessionReply,
    StatusReply,
    VCenterList,
)
from keepalived.control.requests import (
    EventQuery,
    HoldQuery,
    HoldWish,
    KindQuery,
    ListQuery,
    Nothing,
    ProgressWish,
    SessionPath,
    VCenterPath,
)
from keepalived.control.room import BodyT, Call, PathT, QueryT, Reply, Room
from keepalived.validation import Model

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: the status, what it means, and for each media type what it holds.

    Of a stream (NDJSON), the models are those of its lines.
    """

    status: int
    meaning: str
    content: dict[str, tuple[type[Model], ...]]


@dataclass(frozen=True, slots=True)
class Route(Generic[PathT, QueryT, BodyT]):
    """One operation. Its name is the handler's, its description the handler's docstring."""

    method: str
    path: str
    handle: Callable[[Room, Call[PathT, QueryT, BodyT]], Awaitable[Reply | web.StreamResponse]]
    path_model: type[PathT]
    query_model: type[QueryT]
    body_model: type[BodyT] | None
    answers: tuple[Answer, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """What the operation is called."""
        return self.handle.__name__

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.handle.__doc__ or self.name).strip().splitlines()[0]


_LOOKUP = (Problem.NO_SUCH_SESSION, Problem.NO_SUCH_VCENTER, Problem.AMBIGUOUS_VCENTER)
_HOLD = (Problem.NO_SUCH_HOLD, Problem.CONFIGURED_HOLD, Problem.SESSION_ENDED)
_STORE = (Problem.FULL, Problem.UNAVAILABLE)
_SESSION = "/v1/sessions/{vcenter}/{id}"


def _ok(model: type[Model], meaning: str = "Done") -> Answer:
    return Answer(200, meaning, {JSON: (model,)})


def _held(status: int, meaning: str) -> Answer:
    return Answer(
        status,
        meaning,
        {JSON: (SessionReply,), streams.MEDIA_TYPE: (SessionReply, EventLine)},
    )


ROUTES: tuple[Route[Any, Any, Any], ...] = (
    Route(
        "GET",
        "/v1/sessions",
        sessions.list_sessions,
        Nothing,
        ListQuery,
        None,
        (_ok(SessionList, "The sessions"),),
        (Problem.NO_SUCH_VCENTER, Problem.AMBIGUOUS_VCENTER),
    ),
    Route(
        "GET",
        _SESSION,
        sessions.get_session,
        SessionPath,
        KindQuery,
        None,
        (_ok(SessionReply, "The session"),),
        _LOOKUP,
    ),
    Route(
        "PUT",
        _SESSION,
        holds.put_hold,
        SessionPath,
        KindQuery,
        HoldWish,
        (
            _held(200, "The hold was updated, and that is on disk"),
            _held(201, "The hold was taken, and is on disk"),
        ),
        (
            Problem.NO_SUCH_VCENTER,
            Problem.AMBIGUOUS_VCENTER,
            Problem.NOT_YOUR_PROCESS,
            Problem.TOO_MANY,
            *_STORE,
        ),
    ),
    Route(
        "PATCH",
        _SESSION,
        holds.patch_hold,
        SessionPath,
        HoldQuery,
        ProgressWish,
        (_ok(SessionReply, "The session as it is now"),),
        (*_LOOKUP, *_HOLD, *_STORE),
    ),
    Route(
        "DELETE",
        _SESSION,
        holds.delete_hold,
        SessionPath,
        HoldQuery,
        None,
        (_ok(ReleaseReply, "The hold was let go"),),
        (*_LOOKUP, *_HOLD, Problem.AMBIGUOUS_HOLD),
    ),
    Route(
        "POST",
        f"{_SESSION}/keep-alive",
        sessions.renew_session,
        SessionPath,
        KindQuery,
        None,
        (_ok(KeepAliveReply, "How the keep-alive was answered"),),
        (*_LOOKUP, Problem.SESSION_ENDED),
    ),
    Route(
        "POST",
        f"{_SESSION}/cancel",
        account.cancel_session,
        SessionPath,
        CancelQuery,
        None,
        (_ok(CancelReply, "How the vCenter answered"),),
        (
            Problem.FORBIDDEN,
            Problem.NO_SUCH_VCENTER,
            Problem.AMBIGUOUS_VCENTER,
            Problem.HELD_BY_OTHERS,
        ),
    ),
    Route(
        "GET",
        "/v1/events",
        streams.stream_events,
        Nothing,
        EventQuery,
        None,
        (Answer(200, "Events, a line each", {streams.MEDIA_TYPE: (EventLine,)}),),
        (Problem.NO_SUCH_VCENTER, Problem.AMBIGUOUS_VCENTER),
    ),
    Route(
        "GET",
        "/v1/vcenters",
        overview.list_vcenters,
        Nothing,
        Nothing,
        None,
        (_ok(VCenterList, "The vCenters"),),
    ),
    Route(
        "GET",
        "/v1/vcenters/{vcenter}/sessions",
        account.list_account_sessions,
        VCenterPath,
        KindQuery,
        None,
        (_ok(AccountList, "How the vCenter answered, and its sessions"),),
        (Problem.NO_SUCH_VCENTER, Problem.AMBIGUOUS_VCENTER),
    ),
    Route(
        "GET",
        "/v1/status",
        overview.get_status,
        Nothing,
        Nothing,
        None,
        (_ok(StatusReply, "How things stand"),),
    ),
    Route(
        "POST",
        "/v1/reload",
        overview.reload,
        Nothing,
        Nothing,
        None,
        (_ok(ReloadReply, "The new configuration is in force"),),
        (Problem.FORBIDDEN, Problem.CONFIGURATION),
    ),
)
