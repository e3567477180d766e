"""Parse a request into the call it makes, without carrying it out."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from keepalived.simulator import jsonrpc
from keepalived.simulator.bodies import read_arguments
from keepalived.simulator.errors import HTTP_NOT_FOUND, ApiError, ErrorType
from keepalived.simulator.faults import Lifetime
from keepalived.simulator.operations import DOWNLOAD, UPLOAD, Operation, OperationCall
from keepalived.simulator.routes import (
    JSON_RPC_TARGETS,
    SERVICES,
    ServedDialect,
    dialect_of,
    resolve,
)
from keepalived.simulator.wire import Request

TOKEN_HEADER = "vmware-api-session-id"  # noqa: S105 - the name of a header


@dataclass(slots=True)
class RequestContext:
    """A request, parsed as far as possible; `problem` is why it will be refused, if at all.

    Faults set `date_skew` (seconds) and `lifetimes`.
    """

    request: Request
    dialect: ServedDialect
    call: OperationCall
    operation: Operation | None = None
    problem: ApiError | None = None
    rpc_id: str | int | None = None
    date_skew: float = 0.0
    lifetimes: list[Lifetime] = field(default_factory=list)

    @property
    def session_id(self) -> str | None:
        """The session that the call names, if any."""
        if self.operation is None or self.operation.kind is None:
            return None
        named = self.call.args.get(self.operation.session_parameter)
        return named if isinstance(named, str) else None

    @property
    def client_progress(self) -> int | None:
        """The progress that the call reports, if any."""
        args = self.call.args
        reported = args.get("client_progress", args.get("progress"))
        return reported if isinstance(reported, int) else None


def parse_request(
    request: Request, spoken: AbstractSet[ServedDialect], base_url: str
) -> RequestContext:
    """Parse a request to a server that understands these dialects."""
    headers = request.headers
    if host := headers.get("host"):  # the address that the caller used
        base_url = f"{base_url.partition('://')[0]}://{host}"
    is_rpc = request.method == "POST" and request.target in JSON_RPC_TARGETS
    if is_rpc and ServedDialect.JSON_RPC in spoken:
        return _parse_rpc(request, base_url)
    token = headers.get(TOKEN_HEADER) or _token_in_cookie(headers.get("cookie", ""))
    match = resolve(request.method, request.target)
    # URLs for content do not depend on the dialect.
    if match is None or not (match.operation in (UPLOAD, DOWNLOAD) or match.dialect in spoken):
        call = OperationCall({}, token)
        return RequestContext(request, dialect_of(request.target), call, problem=unknown_route())
    args: Mapping[str, Any] = match.parameters
    problem = None
    try:
        args = read_arguments(match, headers.get("content-type", ""), request.body)
    except ApiError as error:
        problem = error
    call = OperationCall(args, token, headers.get("authorization", ""), base_url=base_url)
    return RequestContext(request, match.dialect, call, match.operation, problem)


def unknown_route() -> ApiError:
    """Return the error for a path that does not exist."""
    return ApiError(ErrorType.NOT_FOUND, "Not found.", message_id=HTTP_NOT_FOUND)


def _parse_rpc(request: Request, base_url: str) -> RequestContext:
    try:
        call_id, service, name, call = jsonrpc.open_envelope(request.body)
    except ApiError as error:
        return RequestContext(request, ServedDialect.JSON_RPC, OperationCall({}), problem=error)
    call.base_url = base_url
    operation = SERVICES.get((service, name))
    problem = None
    if operation is None:
        message = f"There is no operation {service}.{name}."
        problem = ApiError(ErrorType.OPERATION_NOT_FOUND, message)
    elif operation.wrapper is not None:
        args = dict(call.args)
        call.args = args | (args.pop(operation.wrapper, None) or {})
    return RequestContext(request, ServedDialect.JSON_RPC, call, operation, problem, call_id)


def _token_in_cookie(header: str) -> str:
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for name, _, value in pairs if name == TOKEN_HEADER), "")
