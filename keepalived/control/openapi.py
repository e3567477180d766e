"""Generates the OpenAPI document of the control socket from its routes and models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import Any

from keepalived.control import problems
from keepalived.control.encoding import JSON
from keepalived.control.problems import ProblemDocument, ProblemType
from keepalived.control.routes import OPENAPI_PATH, Route
from keepalived.validation import Model
from keepalived.validation.json_schema import schemas_of

Document = dict[str, Any]

_PROBLEMS_OF_ANY_REQUEST = (
    ProblemType.MALFORMED,
    ProblemType.TOO_MANY,
    ProblemType.INTERNAL,
    ProblemType.UNAVAILABLE,
)
_PROBLEMS_OF_A_BODY = (ProblemType.SLOW, ProblemType.TOO_LARGE, ProblemType.CONTRADICTION)
_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTION = """\
Holds keep Content Library sessions alive: a session is renewed while it has a hold.

Every user who may open the socket may take holds. The kernel identifies the caller. Root, the
daemon's own user and the members of `control.admin_group` have access to everything. Other users
have access only to their own holds; requests for other sessions are answered as if these did not
exist.

Bodies are JSON; `Content-Type` is ignored. Errors are problem documents (RFC 9457) that say what to
do. A 2xx response to a change means that the change is on disk."""

_OPERATION: Document = {
    "operationId": "get_openapi",
    "summary": "Return this document.",
    "responses": {
        "200": {
            "description": "This document",
            "content": {JSON: {"schema": {"type": "object"}}},
        }
    },
}


def describe(routes: Iterable[Route], version: str) -> Document:
    """Return the OpenAPI 3.1 document."""
    routes = tuple(routes)
    models: list[type[Model]] = [ProblemDocument]
    for route in routes:
        models += [each for each in route.models if each is not None]
        for answer in route.answers:
            models += chain.from_iterable(answer.content.values())
    schemas = schemas_of(models, _REFERENCE)
    paths: dict[str, Document] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    parameters = {model.__name__ for route in routes for model in route.models[:2]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "clkeepalived control socket",
            "version": version,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/", "description": "A Unix socket; the host name is ignored"}],
        "paths": {**paths, OPENAPI_PATH: {"get": _OPERATION}},
        "components": {
            "schemas": {name: each for name, each in schemas.items() if name not in parameters}
        },
    }


def _operation(route: Route, schemas: dict[str, Document]) -> Document:
    path, query, body = route.models
    name, summary = route.handle.__name__, route.handle.__doc__
    operation: Document = {
        "operationId": name,
        "summary": (summary or name).strip().splitlines()[0],
        "parameters": [
            *_parameters("path", schemas[path.__name__]),
            *_parameters("query", schemas[query.__name__]),
        ],
        "responses": _responses(route),
    }
    if body is not None:
        content = {JSON: {"schema": _reference(body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(place: str, schema: Document) -> list[Document]:
    return [
        {
            "name": name,
            "in": place,
            "required": place == "path" or name in schema.get("required", ()),
            "description": each.get("description", ""),
            "schema": _without_null(each),
        }
        for name, each in schema.get("properties", {}).items()
    ]


def _without_null(schema: Document) -> Document:
    """Return a parameter's schema without null, which a URL cannot express."""
    left = {key: value for key, value in schema.items() if key not in ("description", "title")}
    if left.get("default", ...) is None:
        del left["default"]
    alternatives = [each for each in left.pop("anyOf", ()) if each != {"type": "null"}]
    if len(alternatives) == 1:
        return {**left, **alternatives[0]}
    return {**left, "anyOf": alternatives} if alternatives else left


def _responses(route: Route) -> dict[str, Document]:
    responses: dict[str, Document] = {}
    for answer in route.answers:
        content = {}
        for media_type, models in answer.content.items():
            first, *others = found = [_reference(each) for each in models]
            content[media_type] = {"schema": {"anyOf": found} if others else first}
        responses[str(answer.status)] = {"description": answer.meaning, "content": content}
    by_status: dict[int, list[ProblemType]] = defaultdict(list)
    possible = [
        *route.problems,
        *_PROBLEMS_OF_ANY_REQUEST,
        *(_PROBLEMS_OF_A_BODY if route.models[2] else ()),
    ]
    for problem in possible:
        by_status[problem.status].append(problem)
    for status, alike in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(
                f"{each.label}: {each.title}" for each in dict.fromkeys(alike)
            ),
            "content": {problems.MEDIA_TYPE: {"schema": _reference(ProblemDocument)}},
        }
    return responses


def _reference(model: type[Model]) -> Document:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
