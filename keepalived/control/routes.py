"""The table of all routes of the control socket: what each accepts and returns.

The routing, the validation of requests and the OpenAPI document are derived from it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any, get_args, get_type_hints

from aiohttp import web

from keepalived.control import holds, sessions, status, streams, vcenter_sessions
from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import JSON
from keepalived.control.problems import ProblemType
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
from keepalived.control.vcenter_sessions import AccountList, CancelReply
from keepalived.validation import Model


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """A successful response: the status, its meaning, and the models of each media type.

    For a stream (NDJSON), the models are those of its lines.
    """

    status: int
    meaning: str
    content: dict[str, tuple[type[Model], ...]]


@dataclass(frozen=True)
class Route:
    """One operation. Its name, its description and the models that it accepts are taken from the
    handler: from its name, its docstring, and the `Call` in its annotations."""

    method: str
    path: str
    handle: Callable[[ControlContext, Call[Any, Any, Any]], Coroutine[Any, Any, web.StreamResponse]]
    answers: tuple[RouteAnswer, ...]
    problems: tuple[ProblemType, ...] = ()

    @cached_property
    def models(self) -> tuple[type[Model], type[Model], type[Model] | None]:
        """The models of the path, of the query string, and of the body, if there is one."""
        path, query, body = get_args(get_type_hints(self.handle)["call"])
        return path, query, None if body is NoneType else body


_VCENTER = (ProblemType.NO_SUCH_VCENTER, ProblemType.AMBIGUOUS_VCENTER)
_LOOKUP = (ProblemType.NO_SUCH_SESSION, *_VCENTER)
_HOLD = (ProblemType.NO_SUCH_HOLD, ProblemType.CONFIGURED_HOLD, ProblemType.SESSION_ENDED)
_STORE = (ProblemType.FULL, ProblemType.UNAVAILABLE)
_SESSION = "/v1/sessions/{vcenter}/{id}"


def _ok(model: type[Model], meaning: str) -> RouteAnswer:
    return RouteAnswer(200, meaning, {JSON: (model,)})


def _held(status: int, meaning: str) -> RouteAnswer:
    return RouteAnswer(
        status, meaning, {JSON: (SessionReply,), streams.MEDIA_TYPE: (SessionReply, EventLine)}
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/sessions", sessions.list_sessions, (_ok(SessionList, "The sessions"),), _VCENTER
    ),
    Route("GET", _SESSION, sessions.get_session, (_ok(SessionReply, "The session"),), _LOOKUP),
    Route(
        "PUT",
        _SESSION,
        holds.put_hold,
        (
            _held(200, "The hold was updated, and the update is on disk"),
            _held(201, "The hold was taken, and is on disk"),
        ),
        (*_VCENTER, ProblemType.NOT_YOUR_PROCESS, ProblemType.TOO_MANY, *_STORE),
    ),
    Route(
        "PATCH",
        _SESSION,
        holds.patch_hold,
        (_ok(SessionReply, "The present state of the session"),),
        (*_LOOKUP, *_HOLD, *_STORE),
    ),
    Route(
        "DELETE",
        _SESSION,
        holds.delete_hold,
        (_ok(ReleaseReply, "The hold was released"),),
        (*_LOOKUP, *_HOLD, ProblemType.AMBIGUOUS_HOLD),
    ),
    Route(
        "POST",
        f"{_SESSION}/keep-alive",
        sessions.renew_session,
        (_ok(KeepAliveReply, "The result of the keep-alive"),),
        (*_LOOKUP, ProblemType.SESSION_ENDED),
    ),
    Route(
        "POST",
        f"{_SESSION}/cancel",
        vcenter_sessions.cancel_session,
        (_ok(CancelReply, "The vCenter's response"),),
        (ProblemType.FORBIDDEN, *_VCENTER, ProblemType.HELD_BY_OTHERS),
    ),
    Route(
        "GET",
        "/v1/events",
        streams.stream_events,
        (RouteAnswer(200, "Events, one per line", {streams.MEDIA_TYPE: (EventLine,)}),),
        _VCENTER,
    ),
    Route("GET", "/v1/vcenters", status.list_vcenters, (_ok(VCenterList, "The vCenters"),)),
    Route(
        "GET",
        "/v1/vcenters/{vcenter}/sessions",
        vcenter_sessions.list_account_sessions,
        (_ok(AccountList, "The outcome of the vCenter's list, and its sessions"),),
        _VCENTER,
    ),
    Route(
        "GET",
        "/v1/status",
        status.get_status,
        (_ok(StatusReply, "Counts of sessions, and the state of the vCenters"),),
    ),
    Route(
        "POST",
        "/v1/reload",
        status.reload,
        (_ok(ReloadReply, "The new configuration is in effect"),),
        (ProblemType.FORBIDDEN, ProblemType.CONFIGURATION),
    ),
)
