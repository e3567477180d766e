"""Turns HTTP requests into calls of handlers, and their results and errors into responses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar, get_origin

import structlog
from aiohttp import hdrs, web
from multidict import MultiMapping

from keepalived.control import problems
from keepalived.control.callers import Caller
from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import json_answer
from keepalived.control.limits import Limits
from keepalived.control.problems import FieldError, ProblemError, ProblemType
from keepalived.control.routes import Route
from keepalived.validation import FieldProblem, Invalid, Model, fields_of, validate, validate_json

_NAME = re.compile(r"\w{1,60}")

log = structlog.get_logger("clkeepalived")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")
AnyModel = TypeVar("AnyModel", bound=Model)


def handler_of(
    route: Route, context: ControlContext, who: Callable[[web.Request], Caller]
) -> Handler:
    """Return the function that aiohttp calls for a route."""
    path_model, query_model, body_model = route.models
    repeatable = {
        name
        for name, field in fields_of(query_model).items()
        if get_origin(field.annotation) is tuple
    }

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = who(request)
        raw = b"" if body_model is None else await _body(request, context.limits)
        await context.turns.take(caller.uid)
        call = Call(
            request,
            caller,
            _understood("path", validate, path_model, dict(request.match_info)),
            _understood("query", validate, query_model, _fields(request.query, repeatable)),
            None if body_model is None else _understood("body", validate_json, body_model, raw),
        )
        return await route.handle(context, call)

    return handle


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with a problem document."""
    try:
        return await handler(request)
    except ProblemError as error:
        return _problem(request, error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"use {allowed} on {request.path}"
        return _problem(
            request, ProblemError(ProblemType.METHOD, detail, headers={hdrs.ALLOW: allowed})
        )
    except web.HTTPNotFound:
        detail = f"GET /openapi.json describes what there is; {request.path} is not part of it"
        return _problem(request, ProblemError(ProblemType.NO_SUCH_PATH, detail))
    except web.HTTPException:
        raise
    except Exception as error:
        way = request.transport
        if isinstance(error, ConnectionError) and (way is None or way.is_closing()):
            # The caller disconnected in the middle of an answer, before the handler noticed.
            return web.Response()
        log.exception("request_failed", method=request.method, path=request.path)
        detail = "look into the daemon's log for `request_failed`, and report it"
        return _problem(request, ProblemError(ProblemType.INTERNAL, detail))


def _problem(request: web.Request, error: ProblemError) -> web.Response:
    return json_answer(
        error.document(request.path),
        error.problem.status,
        content_type=problems.MEDIA_TYPE,
        headers=error.headers,
    )


def _fields(query: MultiMapping[str], repeatable: Collection[str]) -> dict[str, object]:
    """Return the parameters of a query string; repeatable parameters become lists."""
    fields: dict[str, object] = {}
    for name in query:
        values = query.getall(name)
        if len(values) > 1 and name not in repeatable:
            raise _refusal("query", [FieldProblem((name,), "stands there twice", values)])
        fields[name] = values if name in repeatable else values[0]
    return fields


async def _body(request: web.Request, limits: Limits) -> bytes:
    """Read the body, whatever its declared type: curl labels every body as a form."""
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await request.read()
    except TimeoutError:
        detail = f"a body has to be here within {limits.body_seconds:g} s after its head"
        raise ProblemError(ProblemType.SLOW, detail) from None
    except web.HTTPRequestEntityTooLarge:
        detail = f"a body has at most {limits.body_bytes} bytes here"
        raise ProblemError(ProblemType.TOO_LARGE, detail) from None


def _understood(
    part: str, read: Callable[[type[AnyModel], T], AnyModel], model: type[AnyModel], said: T
) -> AnyModel:
    found: Sequence[FieldProblem]
    try:
        return read(model, said)
    except Invalid as error:
        found = error.problems
    except Exception as error:
        # Whatever error a number or a text caused, the request is at fault.
        found = [FieldProblem((), f"cannot be understood ({type(error).__name__})", said)]
    raise _refusal(part, found)


def _refusal(part: str, found: Sequence[FieldProblem]) -> ProblemError:
    errors = [
        FieldError(
            # A key that the caller chose may hold anything, at any length.
            field=".".join((part, *filter(_NAME.fullmatch, map(str, each.path)))),
            message=each.message,
        )
        for each in found
    ]
    words = "; ".join(f"{each.field}: {each.message}" for each in errors)
    if all(each.is_contradiction for each in found):
        return ProblemError(ProblemType.CONTRADICTION, words, errors)
    words += " (GET /openapi.json for what is understood)"
    return ProblemError(ProblemType.MALFORMED, words, errors)
