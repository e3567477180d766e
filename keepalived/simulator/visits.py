"""From a request on the wire to the call it makes, without carrying it out."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from keepalived.simulator import jsonrpc
from keepalived.simulator.bodies import read_arguments
from keepalived.simulator.errors import HTTP_NOT_FOUND, ApiError, ErrorType
from keepalived.simulator.faults import Lifetime
from keepalived.simulator.operations import Call
from keepalived.simulator.routes import (
    JSON_RPC_TARGETS,
    SERVICES,
    Dialect,
    Route,
    dialect_of,
    resolve,
)
from keepalived.simulator.wire import Request

TOKEN_HEADER = "vmware-api-session-id"  # noqa: S105 - the name of a header


@dataclass(slots=True)
class Visit:
    """A request understood as far as it can be; `problem` is why it will be refused.

    The faults that hit it leave `date_skew` (seconds) and `lifetimes` behind.
    """

    request: Request
    dialect: Dialect
    call: Call
    route: Route | None = None
    problem: ApiError | None = None
    rpc_id: str | int | None = None
    date_skew: float = 0.0
    lifetimes: list[Lifetime] = field(default_factory=list)

    @property
    def is_upload(self) -> bool:
        """Whether this is the PUT of a file's content."""
        return self.route is not None and self.route.operation.is_upload

    @property
    def is_download(self) -> bool:
        """Whether this is the GET of a file's content."""
        return self.route is not None and self.route.operation.is_download

    @property
    def session_id(self) -> str | None:
        """The session that the call names, if any."""
        if self.route is None or self.route.operation.kind is None:
            return None
        named = self.call.args.get(self.route.operation.session_parameter)
        return named if isinstance(named, str) else None

    @property
    def client_progress(self) -> int | None:
        """The progress that the call reports, if any."""
        args = self.call.args
        reported = args.get("client_progress", args.get("progress"))
        return reported if isinstance(reported, int) else None


def understand(request: Request, spoken: AbstractSet[Dialect], base_url: str) -> Visit:
    """Find out what a request asks for, of a server that speaks these dialects."""
    headers = request.headers
    address = _address(headers, base_url)
    is_rpc = request.method == "POST" and request.target in JSON_RPC_TARGETS
    if is_rpc and Dialect.JSON_RPC in spoken:
        return _understand_rpc(request, address)
    token = headers.get(TOKEN_HEADER) or _token_in_cookie(headers.get("cookie", ""))
    match = resolve(request.method, request.target)
    # Content has addresses of its own, whatever is spoken otherwise.
    if match is None or not (match.route.operation.is_content or match.route.dialect in spoken):
        call = Call({}, token)
        return Visit(request, dialect_of(request.target), call, problem=unknown_route())
    route = match.route
    args: Mapping[str, Any] = match.parameters
    problem = None
    try:
        content_type = headers.get("content-type", "")
        args = read_arguments(route, match.parameters, content_type, request.body)
    except ApiError as error:
        problem = error
    call = Call(args, token, headers.get("authorization", ""), base_url=address)
    return Visit(request, route.dialect, call, route, problem)


def unknown_route() -> ApiError:
    """Return the error for a path that does not exist."""
    return ApiError(ErrorType.NOT_FOUND, "Not found.", message_id=HTTP_NOT_FOUND)


def _understand_rpc(request: Request, address: str) -> Visit:
    try:
        envelope = jsonrpc.open_envelope(request.body)
    except ApiError as error:
        return Visit(request, Dialect.JSON_RPC, Call({}), problem=error)
    route = SERVICES.get((envelope.service, envelope.operation))
    args = dict(envelope.args)
    problem = None
    if route is None:
        words = f"There is no operation {envelope.service}.{envelope.operation}."
        problem = ApiError(ErrorType.OPERATION_NOT_FOUND, words)
    elif route.operation.wrapper is not None:
        args.update(args.pop(route.operation.wrapper, None) or {})
    call = Call(args, envelope.token, envelope.authorization, base_url=address)
    return Visit(request, Dialect.JSON_RPC, call, route, problem, envelope.id)


def _address(headers: Mapping[str, str], base_url: str) -> str:
    """Return the address by which the caller reached this server."""
    host = headers.get("host")
    return f"{base_url.partition('://')[0]}://{host}" if host else base_url


def _token_in_cookie(header: str) -> str:
    for pair in header.split(";") if header else ():
        name, _, value = pair.strip().partition("=")
        if name == TOKEN_HEADER:
            return value
    return ""
