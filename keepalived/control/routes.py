"""The table of the control socket's routes: what each accepts and returns.

The routing, the validation of requests and the OpenAPI document are derived from it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any, get_args, get_type_hints

from aiohttp import web

from keepalived.control import held_sessions, holds, status, streams, vcenter_sessions
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
    """One operation. The handler's name is the operation's name, its docstring the description,
    and the `Call` in its annotations has the models of the request."""

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


_VCENTER_PROBLEMS = (ProblemType.NO_SUCH_VCENTER, ProblemType.AMBIGUOUS_VCENTER)
_LOOKUP_PROBLEMS = (ProblemType.NO_SUCH_SESSION, *_VCENTER_PROBLEMS)
_HOLD_PROBLEMS = (ProblemType.NO_SUCH_HOLD, ProblemType.CONFIGURED_HOLD, ProblemType.SESSION_ENDED)
_STORE_PROBLEMS = (ProblemType.FULL, ProblemType.UNAVAILABLE)
_SESSION_PATH = "/v1/sessions/{vcenter}/{id}"


def _ok(model: type[Model], meaning: str) -> RouteAnswer:
    return RouteAnswer(200, meaning, {JSON: (model,)})


def _held(status: int, meaning: str) -> RouteAnswer:
    return RouteAnswer(
        status, meaning, {JSON: (SessionReply,), streams.MEDIA_TYPE: (SessionReply, EventLine)}
    )


OPENAPI_PATH = "/openapi.json"
"""The description of all routes but this one."""

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/sessions",
        held_sessions.list_sessions,
        (_ok(SessionList, "The sessions"),),
        _VCENTER_PROBLEMS,
    ),
    Route(
        "GET",
        _SESSION_PATH,
        held_sessions.get_session,
        (_ok(SessionReply, "The session"),),
        _LOOKUP_PROBLEMS,
    ),
    Route(
        "PUT",
        _SESSION_PATH,
        holds.put_hold,
        (
            _held(200, "The hold was updated, and the update is on disk"),
            _held(201, "The hold was taken, and is on disk"),
        ),
        (*_VCENTER_PROBLEMS, ProblemType.NOT_YOUR_PROCESS, ProblemType.TOO_MANY, *_STORE_PROBLEMS),
    ),
    Route(
        "PATCH",
        _SESSION_PATH,
        holds.patch_hold,
        (_ok(SessionReply, "The present state of the session"),),
        (*_LOOKUP_PROBLEMS, *_HOLD_PROBLEMS, *_STORE_PROBLEMS),
    ),
    Route(
        "DELETE",
        _SESSION_PATH,
        holds.delete_hold,
        (_ok(ReleaseReply, "The hold was released"),),
        (*_LOOKUP_PROBLEMS, *_HOLD_PROBLEMS, ProblemType.AMBIGUOUS_HOLD),
    ),
    Route(
        "POST",
        f"{_SESSION_PATH}/keep-alive",
        held_sessions.renew_session,
        (_ok(KeepAliveReply, "The result of the keep-alive"),),
        (*_LOOKUP_PROBLEMS, ProblemType.SESSION_ENDED),
    ),
    Route(
        "POST",
        f"{_SESSION_PATH}/cancel",
        vcenter_sessions.cancel_session,
        (_ok(CancelReply, "The vCenter's response"),),
        (ProblemType.FORBIDDEN, *_VCENTER_PROBLEMS, ProblemType.HELD_BY_OTHERS),
    ),
    Route(
        "GET",
        "/v1/events",
        streams.stream_events,
        (RouteAnswer(200, "Events, one per line", {streams.MEDIA_TYPE: (EventLine,)}),),
        _VCENTER_PROBLEMS,
    ),
    Route("GET", "/v1/vcenters", status.list_vcenters, (_ok(VCenterList, "The vCenters"),)),
    Route(
        "GET",
        "/v1/vcenters/{vcenter}/sessions",
        vcenter_sessions.list_account_sessions,
        (_ok(AccountList, "The outcome of the vCenter's list, and its sessions"),),
        _VCENTER_PROBLEMS,
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
