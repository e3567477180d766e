"""Parses HTTP requests, calls their handlers, and turns errors into problem documents."""

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
    route: Route, context: ControlContext, find_caller: Callable[[web.Request], Caller]
) -> Handler:
    """Return the function that aiohttp calls for a route."""
    path_model, query_model, body_model = route.models
    repeatable = {
        name
        for name, field in fields_of(query_model).items()
        if get_origin(field.annotation) is tuple
    }

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = find_caller(request)
        raw = b"" if body_model is None else await _body(request, context.limits)
        await context.turns.take(caller.uid)
        call = Call(
            request,
            caller,
            _parsed("path", validate, path_model, dict(request.match_info)),
            _parsed("query", validate, query_model, _fields(request.query, repeatable)),
            None if body_model is None else _parsed("body", validate_json, body_model, raw),
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
        detail = f"use {allowed} for {request.path}"
        return _problem(
            request, ProblemError(ProblemType.METHOD, detail, headers={hdrs.ALLOW: allowed})
        )
    except web.HTTPNotFound:
        detail = (
            f"{request.path} is not a path of this API; GET /openapi.json describes all of them"
        )
        return _problem(request, ProblemError(ProblemType.NO_SUCH_PATH, detail))
    except web.HTTPException:
        raise
    except Exception as error:
        transport = request.transport
        if isinstance(error, ConnectionError) and (transport is None or transport.is_closing()):
            # The caller disconnected during a response, before the handler noticed.
            return web.Response()
        log.exception("request_failed", method=request.method, path=request.path)
        detail = "find `request_failed` in the daemon's log, and report it"
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
            raise _refusal("query", [FieldProblem((name,), "is given twice", values)])
        fields[name] = values if name in repeatable else values[0]
    return fields


async def _body(request: web.Request, limits: Limits) -> bytes:
    """Read the body. Its declared type is ignored, because curl declares every body as a form."""
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await request.read()
    except TimeoutError:
        detail = f"a body must arrive within {limits.body_seconds:g} s of its header fields"
        raise ProblemError(ProblemType.SLOW, detail) from None
    except web.HTTPRequestEntityTooLarge:
        detail = f"a body may have at most {limits.body_bytes} bytes"
        raise ProblemError(ProblemType.TOO_LARGE, detail) from None


def _parsed(
    part: str, read: Callable[[type[AnyModel], T], AnyModel], model: type[AnyModel], value: T
) -> AnyModel:
    problems_found: Sequence[FieldProblem]
    try:
        return read(model, value)
    except Invalid as error:
        problems_found = error.problems
    except Exception as error:
        # Any other error is caused by a value in the request, too.
        problems_found = [FieldProblem((), f"cannot be parsed ({type(error).__name__})", value)]
    raise _refusal(part, problems_found)


def _refusal(part: str, problems_found: Sequence[FieldProblem]) -> ProblemError:
    errors = [
        FieldError(
            # A key from the request may contain anything, at any length.
            field=".".join((part, *filter(_NAME.fullmatch, map(str, each.path)))),
            message=each.message,
        )
        for each in problems_found
    ]
    detail = "; ".join(f"{each.field}: {each.message}" for each in errors)
    if all(each.is_contradiction for each in problems_found):
        return ProblemError(ProblemType.CONTRADICTION, detail, errors)
    detail += " (GET /openapi.json describes what is accepted)"
    return ProblemError(ProblemType.MALFORMED, detail, errors)
