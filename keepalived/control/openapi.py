"""The description of the control socket's API, made from the routes and the models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from keepalived.control import problems
from keepalived.control.base import Query
from keepalived.control.problems import Problem, ProblemDocument
from keepalived.control.routes import JSON, Route
from keepalived.validation import Model, schemas_of

PATH = "/openapi.json"

Document = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTION = """\
Holds keep Content Library sessions alive: a session is renewed for as long as somebody holds it.

Whoever may open the socket may take holds. The kernel says who calls: root, the daemon's own user
and the members of `control.admin_group` see and do all, everybody else only what they hold
themselves; the sessions of others answer as if they did not exist.

Bodies are JSON, whatever `Content-Type` says. Errors are problem documents (RFC 9457) that say what
to do. A 2xx answer to a change means that it is on disk."""


def describe(routes: Iterable[Route[Any, Any, Any]], version: str) -> Document:
    """Return the OpenAPI 3.1 document."""
    routes = tuple(routes)
    schemas = _schemas(routes)
    paths: dict[str, Document] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    parameters = {model.__name__ for route in routes for model in _parameter_models(route)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "clkeepalived control socket",
            "version": version,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/", "description": "A Unix socket: the host's name means nothing"}],
        "paths": {**paths, PATH: {"get": _description_of_itself()}},
        "components": {
            "schemas": {name: each for name, each in schemas.items() if name not in parameters}
        },
    }


def _schemas(routes: Iterable[Route[Any, Any, Any]]) -> dict[str, Document]:
    models: list[type[Model]] = [ProblemDocument]
    for route in routes:
        models += _parameter_models(route)
        if route.body_model is not None:
            models.append(route.body_model)
        models += [
            each for answer in route.answers for some in answer.content.values() for each in some
        ]
    return schemas_of(models, _REFERENCE)


def _parameter_models(route: Route[Any, Any, Any]) -> tuple[type[Query], type[Query]]:
    return route.path_model, route.query_model


def _operation(route: Route[Any, Any, Any], schemas: dict[str, Document]) -> Document:
    path, query = _parameter_models(route)
    operation: Document = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *_parameters("path", schemas[path.__name__]),
            *_parameters("query", schemas[query.__name__]),
        ],
        "responses": _responses(route),
    }
    if route.body_model is not None:
        content = {JSON: {"schema": _reference(route.body_model)}}
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
    """Return the schema of a parameter: it can be left out, but there is no null in a URL."""
    left = {key: value for key, value in schema.items() if key not in ("description", "title")}
    if left.get("default", ...) is None:
        del left["default"]
    alternatives = [each for each in left.pop("anyOf", ()) if each != {"type": "null"}]
    if len(alternatives) == 1:
        return {**left, **alternatives[0]}
    return {**left, "anyOf": alternatives} if alternatives else left


def _responses(route: Route[Any, Any, Any]) -> dict[str, Document]:
    responses: dict[str, Document] = {}
    for answer in route.answers:
        responses[str(answer.status)] = {
            "description": answer.meaning,
            "content": {
                media_type: {"schema": _any_of(models)}
                for media_type, models in answer.content.items()
            },
        }
    by_status: dict[int, list[Problem]] = defaultdict(list)
    for problem in (*route.problems, *_common_problems(route)):
        by_status[problem.status].append(problem)
    for status, alike in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(
                f"{each.label}: {each.title}" for each in dict.fromkeys(alike)
            ),
            "content": {problems.MEDIA_TYPE: {"schema": _reference(ProblemDocument)}},
        }
    return responses


def _common_problems(route: Route[Any, Any, Any]) -> tuple[Problem, ...]:
    """Return what can befall any request, and any request that has a body."""
    common = (Problem.MALFORMED, Problem.TOO_MANY, Problem.INTERNAL, Problem.UNAVAILABLE)
    if route.body_model is None:
        return common
    return (*common, Problem.SLOW, Problem.TOO_LARGE, Problem.CONTRADICTION)


def _any_of(models: tuple[type[Model], ...]) -> Document:
    if len(models) == 1:
        return _reference(models[0])
    return {"anyOf": [_reference(each) for each in models]}


def _reference(model: type[Model]) -> Document:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _description_of_itself() -> Document:
    return {
        "operationId": "get_openapi",
        "summary": "Return this document.",
        "responses": {
            "200": {
                "description": "This document",
                "content": {JSON: {"schema": {"type": "object"}}},
            }
        },
    }
