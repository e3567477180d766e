"""From an HTTP request to a handler, and from what it returns or raises to an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, get_origin

import structlog
from aiohttp import hdrs, web
from multidict import MultiMapping

from keepalived.control import problems
from keepalived.control.base import Query
from keepalived.control.callers import Caller
from keepalived.control.encoding import to_json
from keepalived.control.limits import Limits
from keepalived.control.problems import FieldError, Problem, ProblemError
from keepalived.control.room import Call, Reply, Room
from keepalived.control.routes import JSON, Route
from keepalived.validation import FieldProblem, Invalid, Model, fields_of, validate, validate_json

log = structlog.get_logger("clkeepalived")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")
AnyModel = TypeVar("AnyModel", bound=Model)


def handler_of(
    route: Route[Any, Any, Any], room: Room, who: Callable[[web.Request], Caller]
) -> Handler:
    """Return what aiohttp calls for a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = who(request)
        raw = b"" if route.body_model is None else await _body(request, room.limits)
        await room.turns.take(caller.uid)
        call = Call(
            request,
            caller,
            _understood("path", validate, route.path_model, dict(request.match_info)),
            _understood("query", validate, route.query_model, _fields(route, request.query)),
            None
            if route.body_model is None
            else _understood("body", validate_json, route.body_model, raw),
        )
        reply = await route.handle(room, call)
        return _response(reply) if isinstance(reply, Reply) else reply

    return handle


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with a problem document whatever goes wrong."""
    try:
        return await handler(request)
    except ProblemError as error:
        return _problem(request, error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"use {allowed} on {request.path}"
        return _problem(
            request, ProblemError(Problem.METHOD, detail, headers={hdrs.ALLOW: allowed})
        )
    except web.HTTPNotFound:
        detail = f"GET /openapi.json describes what there is; {request.path} is not part of it"
        return _problem(request, ProblemError(Problem.NO_SUCH_PATH, detail))
    except web.HTTPException:
        raise
    except Exception as error:
        if isinstance(error, ConnectionError) and _has_left(request):
            return web.Response()  # which nobody reads
        log.exception("request_failed", method=request.method, path=request.path)
        detail = "look into the daemon's log for `request_failed`, and report it"
        return _problem(request, ProblemError(Problem.INTERNAL, detail))


def _has_left(request: web.Request) -> bool:
    """Whether the caller went away in the middle of an answer, before the handler was told."""
    return request.transport is None or request.transport.is_closing()


def _response(reply: Reply) -> web.Response:
    body = to_json(reply.body)
    return web.Response(body=body, status=reply.status, headers=reply.headers, content_type=JSON)


def _problem(request: web.Request, error: ProblemError) -> web.Response:
    return web.Response(
        body=to_json(error.document(request.path)),
        status=error.problem.status,
        headers=error.headers,
        content_type=problems.MEDIA_TYPE,
    )


def _fields(route: Route[Any, Any, Any], query: MultiMapping[str]) -> dict[str, object]:
    """Return a query string's parameters, as lists where a parameter may be repeated."""
    model: type[Query] = route.query_model
    known = fields_of(model)
    fields: dict[str, object] = {}
    for name in query:
        values = query.getall(name)
        repeatable = name in known and get_origin(known[name].annotation) is tuple
        if len(values) > 1 and not repeatable:
            raise _malformed([FieldError(field=f"query.{name}", message="stands there twice")])
        fields[name] = values if repeatable else values[0]
    return fields


async def _body(request: web.Request, limits: Limits) -> bytes:
    """Read the body, whatever type it says it is: curl calls everything a form."""
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await request.read()
    except TimeoutError:
        detail = f"a body has to be here within {limits.body_seconds:g} s after its head"
        raise ProblemError(Problem.SLOW, detail) from None
    except web.HTTPRequestEntityTooLarge:
        detail = f"a body has at most {limits.body_bytes} bytes here"
        raise ProblemError(Problem.TOO_LARGE, detail) from None


def _understood(
    part: str,
    read: Callable[[type[AnyModel], T], AnyModel],
    model: type[AnyModel],
    said: T,
) -> AnyModel:
    try:
        return read(model, said)
    except Invalid as error:
        raise _invalid(part, error.problems) from None
    except Exception as error:
        # Whatever a number or a text led to: it is the request that is wrong.
        words = f"cannot be understood ({type(error).__name__})"
        raise _malformed([FieldError(field=part, message=words)]) from None


def _invalid(part: str, found: Iterable[FieldProblem]) -> ProblemError:
    errors = [
        FieldError(field=".".join((part, *map(str, each.path))), message=each.message)
        for each in found
    ]
    if all(each.is_contradiction for each in found):
        words = "; ".join(f"{each.field}: {each.message}" for each in errors)
        return ProblemError(Problem.CONTRADICTION, words, errors)
    return _malformed(errors)


def _malformed(errors: list[FieldError]) -> ProblemError:
    words = "; ".join(f"{each.field}: {each.message}" for each in errors)
    return ProblemError(
        Problem.MALFORMED, f"{words} (GET /openapi.json for what is understood)", errors
    )
