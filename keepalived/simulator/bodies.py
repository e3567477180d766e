"""Read and write bodies in the `api` and `rest` dialects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from keepalived.simulator.errors import ApiError, ErrorType, invalid
from keepalived.simulator.operations import UPLOAD, Gives, Operation
from keepalived.simulator.routes import Match, ServedDialect
from keepalived.simulator.views import error_view

_XML_NAMESPACE = "http://vmware.com/content/library/item/"
_NUMBERS = frozenset({"client_progress", "progress"})


def read_arguments(match: Match, content_type: str, body: bytes) -> Mapping[str, Any]:
    """Return all parameters of a request, by name.

    Raises ApiError for an invalid body, or one that names another session than the path.
    """
    operation, parameters = match.operation, match.parameters
    if not body or operation is UPLOAD:
        return parameters
    sent = _read_body(match, content_type, body)
    if match.dialect is ServedDialect.REST and operation.wrapper is not None:
        wrapped = sent.get(operation.wrapper)
        if not isinstance(wrapped, dict):
            raise invalid(f"The body lacks the parameter {operation.wrapper}.")
        sent = wrapped
    if operation.kind is not None:
        name = operation.session_parameter
        if sent.get(name, parameters.get(name)) != parameters.get(name, sent.get(name)):
            raise invalid(f"{name} differs between the path and the body.")
    return {**sent, **parameters}


def _read_body(match: Match, content_type: str, body: bytes) -> dict[str, Any]:
    media_type = content_type.partition(";")[0].strip().lower() or "application/json"
    if media_type == "application/json":
        try:
            sent = json.loads(body)
        except ValueError:
            raise invalid("The body is not valid JSON.") from None
        if not isinstance(sent, dict):
            raise invalid("The body is not a JSON object.")
        return sent
    # XML and form bodies are documented for keep_alive only, under /rest.
    if match.dialect is ServedDialect.REST and match.operation.name.endswith(".keep_alive"):
        if media_type in ("application/xml", "text/xml"):
            return _read_xml(match.operation, body)
        if media_type == "application/x-www-form-urlencoded":
            return _numbers(dict(parse_qsl(body.decode(errors="replace"))))
    raise ApiError(
        ErrorType.INVALID_REQUEST, f"The media type {media_type} is not supported.", status=415
    )


def _read_xml(operation: Operation, body: bytes) -> dict[str, Any]:
    namespace = f"{_XML_NAMESPACE}{operation.kind}_session"
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - sent by the simulator's own user
    except ElementTree.ParseError:
        raise invalid("The body is not well-formed XML.") from None
    if root.tag != f"{{{namespace}}}KeepAlive-Input":
        raise invalid(f"The root element is not KeepAlive-Input of {namespace}.")
    return _numbers({child.tag.rpartition("}")[2]: child.text or "" for child in root})


def _numbers(fields: dict[str, str]) -> dict[str, Any]:
    """Convert the texts of numeric fields to numbers."""
    try:
        return {name: int(text) if name in _NUMBERS else text for name, text in fields.items()}
    except ValueError:
        raise invalid("The progress is not an integer.") from None


def write(dialect: ServedDialect, gives: Gives, value: Any) -> tuple[int, bytes]:
    """Return the status and body for a result."""
    if dialect is ServedDialect.REST:
        return 200, b"" if gives is Gives.NOTHING else _json({"value": _without_zeros(value)})
    if gives is Gives.NOTHING:
        return 204, b""
    return 201 if gives is Gives.NEW else 200, _json(value)


def write_error(dialect: ServedDialect, error: ApiError) -> tuple[int, bytes]:
    """Return the status and body for an error."""
    view: dict[str, Any] = error_view(error)
    if dialect is ServedDialect.REST:
        view = {"type": error.type.canonical_name, "value": view}
    return error.status, _json(view)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _without_zeros(value: Any) -> Any:
    """Remove what the `rest` dialect omits: zero numbers and absent fields."""
    if isinstance(value, dict):
        return {
            name: _without_zeros(each)
            for name, each in value.items()
            if each is not None and (type(each) is not int or each != 0)
        }
    if isinstance(value, list):
        return [_without_zeros(each) for each in value]
    return value
