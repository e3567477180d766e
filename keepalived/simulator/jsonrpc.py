"""vAPI's JSON-RPC, which VMware's SDKs use at `/api`.

JSON with explicit types: `{"STRUCTURE": {name: fields}}`, `{"OPTIONAL": value}`,
`{"SECRET": text}` and `{"ERROR": {name: fields}}`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from keepalived.simulator.errors import ApiError, ErrorType
from keepalived.simulator.operations import OperationCall
from keepalived.simulator.views import Struct

_SESSION_SCHEME = "com.vmware.vapi.std.security.session_id"
_PASSWORD_SCHEME = "com.vmware.vapi.std.security.user_pass"  # noqa: S105 - a scheme, no password


def open_envelope(body: bytes) -> tuple[str | int | None, str, str, OperationCall]:
    """Parse a call; return its id, service, operation and arguments.

    Raises ApiError (INVALID_REQUEST) for an invalid call.
    """
    try:
        sent = json.loads(body)
        params = sent["params"]
        security = params.get("ctx", {}).get("securityCtx") or {}
        args = _decode(params["input"])
        service, operation = str(params["serviceId"]), str(params["operationId"])
        call_id = sent.get("id")
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ApiError(ErrorType.INVALID_REQUEST, "The body is no JSON-RPC call.") from None
    if sent.get("method") != "invoke" or not isinstance(args, dict):
        raise ApiError(ErrorType.INVALID_REQUEST, "The call invokes no operation.")
    return call_id, service, operation, OperationCall(args, *_credentials(security))


def output(call_id: str | int | None, value: Any) -> bytes:
    """Return the response with a call's result."""
    return _answer(call_id, {"output": _encode(value)})


def error(call_id: str | int | None, view: Struct) -> bytes:
    """Return the response with a call's error."""
    return _answer(call_id, {"error": {"ERROR": {view.name: _fields(view)}}})


def _answer(call_id: str | int | None, result: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "result": result}).encode()


def _credentials(security: Mapping[str, Any]) -> tuple[str, str]:
    """Return the token and authorization, in the form of HTTP headers."""
    scheme = security.get("schemeId")
    if scheme == _SESSION_SCHEME:
        return str(security.get("sessionId")), ""
    if scheme == _PASSWORD_SCHEME:
        pair = f"{security.get('userName')}:{security.get('password')}"
        return "", "Basic " + base64.b64encode(pair.encode()).decode()
    return "", ""


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "STRUCTURE":
        (fields,) = content.values()
        return {name: _decode(field) for name, field in fields.items()}
    return _decode(content) if tag == "OPTIONAL" else content


def _encode(value: Any) -> Any:
    if isinstance(value, Struct):
        return {"STRUCTURE": {value.name: _fields(value)}}
    if isinstance(value, list):
        return [_encode(each) for each in value]
    return value


def _fields(struct: Struct) -> dict[str, Any]:
    return {
        name: _encode(value) if name in struct.required else {"OPTIONAL": _encode(value)}
        for name, value in struct.items()
    }
