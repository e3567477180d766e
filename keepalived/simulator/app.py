"""The simulated vCenter without HTTP: answers requests, applies faults, keeps the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace

from keepalived.lease.model import Kind
from keepalived.simulator import admin, bodies, jsonrpc
from keepalived.simulator.behaviour import DEFAULT, Behaviour
from keepalived.simulator.clock import ServerClock
from keepalived.simulator.content import DEFAULT_CONTENT_LIMIT
from keepalived.simulator.errors import ApiError, ErrorType, type_for_status
from keepalived.simulator.faults import (
    Effect,
    Fail,
    Faults,
    Hang,
    Latency,
    Lifetime,
    Refuse,
    Reset,
    Skew,
    Truncate,
    UnknownRoute,
    effect_name,
)
from keepalived.simulator.ledger import Ledger, LedgerEntry
from keepalived.simulator.library import ContentLibrary
from keepalived.simulator.logins import Logins
from keepalived.simulator.operations import DOWNLOAD, UPLOAD
from keepalived.simulator.request_context import (
    TOKEN_HEADER,
    RequestContext,
    parse_request,
    unknown_route,
)
from keepalived.simulator.routes import ServedDialect
from keepalived.simulator.views import error_view
from keepalived.simulator.wire import Dropped, RefusedConnection, Request, Response

DEFAULT_USERNAME = "administrator@vsphere.local"
DEFAULT_PASSWORD = "simulated"  # noqa: S105 - guards nothing


class Simulator:
    """A vCenter's Content Library in both dialects and in the JSON-RPC of VMware's own SDKs.

    Times are seconds. `clock` gives monotonic seconds and `epoch` the wall time at its zero.
    `ledger_limit` bounds the ledger's list of requests (None: all, 0: counters only). `dialects`
    restricts the dialects that the server understands, as releases do. `with_admin` opens the admin
    endpoint, see `keepalived.simulator.admin`. `base_url` is the address that clients know.
    """

    def __init__(
        self,
        *,
        username: str = DEFAULT_USERNAME,
        password: str = DEFAULT_PASSWORD,
        session_timeout: float = DEFAULT.session_timeout,
        token_idle_timeout: float = 30 * 60.0,
        token_max_age: float = 24 * 3600.0,
        put_counts_as_activity: bool = True,
        bytes_during_put: bool = True,
        pull_duration: float = DEFAULT.pull_duration,
        validation_duration: float = 0.0,
        prepare_duration: float = 0.0,
        content_limit: int = DEFAULT_CONTENT_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        epoch: float | None = None,
        ledger_limit: int | None = None,
        dialects: Iterable[ServedDialect] = ServedDialect,
        with_admin: bool = False,
        base_url: str = "https://vcsa.simulated",
    ) -> None:
        self.username = username
        self.password = password
        self.base_url = base_url
        self.with_admin = with_admin
        self.clock = ServerClock(clock, epoch)
        self.faults = Faults(clock)
        self.on_restart: list[Callable[[], None]] = []
        self._now = clock
        self._dialects = frozenset(dialects)
        self._ledger = Ledger(ledger_limit)
        self.logins = Logins(clock, idle_timeout=token_idle_timeout, max_age=token_max_age)
        self.logins.add_user(username, password)
        behaviour = Behaviour(
            session_timeout,
            pull_duration,
            validation_duration,
            prepare_duration,
            put_counts_as_activity,
            bytes_during_put,
        )
        self.library = ContentLibrary(
            clock, behaviour, content_limit=content_limit, ledger=self._ledger
        )
        self._going_down = asyncio.Event()

    @property
    def ledger(self) -> Ledger:
        """The ledger so far, after all expiries and completions due by now."""
        self.library.settle()
        return self._ledger

    def open_session(self, *, kind: Kind = Kind.UPDATE, session_id: str | None = None) -> str:
        """Open a session of the first user on a new item without a request; return its id."""
        return self.library.open_session(self.username, kind=kind, session_id=session_id).id

    def restart(self, *, lose_tokens: bool = False, down_seconds: float = 0.0) -> None:
        """Drop requests in flight, refuse connections for `down_seconds`, perhaps lose all tokens.

        Sessions survive, and their lifetimes go on.
        """
        if lose_tokens:
            self.logins.forget_all()
        self._going_down.set()
        self._going_down = asyncio.Event()
        if down_seconds > 0:
            self.faults.add(Refuse(), seconds=down_seconds)
        for callback in self.on_restart:
            callback()

    async def handle(
        self, request: Request, chunks: AsyncIterator[bytes] | None = None
    ) -> Response:
        """Answer a request. `chunks` is the body of an upload if it is a stream.

        Raises Dropped or RefusedConnection if a fault or a restart leaves it unanswered.
        """
        if self.with_admin and request.target.startswith(admin.PREFIX):
            return admin.handle(self, request)
        context = parse_request(request, self._dialects, self.base_url)
        entry = self._enter(context)
        try:
            effects = self.faults.hitting(entry) if self.faults else None
            if effects:
                entry.fault = "+".join(effect_name(effect) for effect in effects)
                response = await self._act_under(effects, context, chunks)
            else:
                response = await self._carry_out(context, chunks)
            entry.status = response.status
        finally:
            self._ledger.finish(entry, self._now())
        return response

    def _enter(self, context: RequestContext) -> LedgerEntry:
        session_id, operation = context.session_id, context.operation
        if operation is UPLOAD:
            session_id = self.library.transfers.session_of(context.call.text("ticket"))
        elif operation is DOWNLOAD:
            session_id = self.library.downloads.session_of(context.call.text("ticket"))
        login = self.logins.peek(context.call.token)
        entry = LedgerEntry(
            self._now(),
            context.request.method,
            operation.name if operation is not None else "",
            context.dialect.value,
            session_id,
            context.client_progress,
            login.alias if login is not None else "",
        )
        self._ledger.begin(entry, is_content=operation in (UPLOAD, DOWNLOAD))
        return entry

    async def _carry_out(
        self, context: RequestContext, chunks: AsyncIterator[bytes] | None
    ) -> Response:
        if context.operation is UPLOAD:
            return await self._receive(context, chunks)
        return self._send(context) if context.operation is DOWNLOAD else self._act(context)

    def _act(self, context: RequestContext) -> Response:
        """Carry out an operation; return its result or its error as a response."""
        call, operation = context.call, context.operation
        try:
            if operation is None:
                raise context.problem or unknown_route()
            if operation.needs_login:
                call.login = self.logins.authenticate(call.token)
                if operation.privilege is not None and call.login.user.read_only:
                    message = f"The caller lacks the privilege {operation.privilege}."
                    raise ApiError(ErrorType.UNAUTHORIZED, message)
            if context.problem is not None:
                raise context.problem
            with ExitStack() as stack:
                for each in context.lifetimes:
                    sessions = self.library.sessions
                    stack.enter_context(sessions.shortened(each.seconds, announced=each.announced))
                value = operation.run(self, call)
        except ApiError as error:
            return self._refusal(context, error)
        if context.dialect is ServedDialect.JSON_RPC:
            return self._response(context, 200, jsonrpc.output(context.rpc_id, value))
        response = self._response(context, *bodies.write(context.dialect, operation.gives, value))
        if operation.name == "session.create" and _wants_cookie(context):
            cookie = f"{TOKEN_HEADER}={value}; Path=/rest; HttpOnly"
            return _with_headers(response, {"set-cookie": cookie})
        return response

    async def _receive(
        self, context: RequestContext, chunks: AsyncIterator[bytes] | None
    ) -> Response:
        """Receive an upload as it arrives."""
        going_down = self._going_down
        try:
            upload = self.library.transfers.begin_upload(context.call.text("ticket"))
            try:
                async for chunk in chunks or _at_once(context.request.body):
                    if going_down.is_set():
                        raise Dropped
                    upload.write(chunk)
                upload.finish()
            finally:
                upload.interrupt()
        except ApiError as error:
            return self._refusal(context, error)
        return self._response(context, 200, b"")

    def _send(self, context: RequestContext) -> Response:
        """Start to send a file."""
        going_down = self._going_down
        try:
            size, chunks = self.library.downloads.begin(context.call.text("ticket"))
        except ApiError as error:
            return self._refusal(context, error)

        def stream() -> bytes:
            if going_down.is_set():
                raise Dropped
            try:
                return next(chunks, b"")
            except ApiError:
                raise Dropped from None

        length = {"content-length": str(size), "content-type": "application/octet-stream"}
        return replace(_with_headers(self._response(context, 200, b""), length), stream=stream)

    async def _act_under(
        self, effects: list[Effect], context: RequestContext, chunks: AsyncIterator[bytes] | None
    ) -> Response:
        """Carry out an operation with its faults applied in order, up to the first that ends it."""
        response: Response | None = None

        async def act() -> Response:
            return response or await self._carry_out(context, chunks)

        for effect in effects:
            if isinstance(effect, Refuse):
                raise RefusedConnection
            if isinstance(effect, Skew):
                context.date_skew += effect.seconds if effect.date else 0
                context.call.expiry_skew += effect.seconds if effect.expiration_time else 0
            elif isinstance(effect, Lifetime):
                context.lifetimes.append(effect)
        for effect in effects:
            if isinstance(effect, Latency | Hang | Reset | Fail) and effect.act_first:
                response = await act()
            if isinstance(effect, Latency):
                await self._pause(effect.seconds)
            elif isinstance(effect, Hang):
                await self._pause(None)
            elif isinstance(effect, Reset):
                raise Dropped
            elif isinstance(effect, UnknownRoute):
                return self._refusal(context, unknown_route())
            elif isinstance(effect, Fail):
                return self._failure(context, effect)
        response = await act()
        return _truncated(response) if any(isinstance(e, Truncate) for e in effects) else response

    async def _pause(self, seconds: float | None) -> None:
        """Wait, forever if `seconds` is None. Raises Dropped when the server restarts."""
        try:
            async with asyncio.timeout(seconds):
                await self._going_down.wait()
        except TimeoutError:
            return
        raise Dropped

    def _failure(self, context: RequestContext, fault: Fail) -> Response:
        message = f"Injected fault: {fault.status}."
        error = ApiError(type_for_status(fault.status), message, status=fault.status)
        response = replace(self._refusal(context, error), status=fault.status)
        after = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
        return _with_headers(response, after)

    def _refusal(self, context: RequestContext, error: ApiError) -> Response:
        if context.dialect is ServedDialect.JSON_RPC:
            return self._response(context, 200, jsonrpc.error(context.rpc_id, error_view(error)))
        return self._response(context, *bodies.write_error(context.dialect, error))

    def _response(self, context: RequestContext, status: int, body: bytes) -> Response:
        headers = {"date": self.clock.date_header(context.date_skew)}
        if body:
            headers["content-type"] = "application/json"
        return Response(status, headers, body)


def _wants_cookie(context: RequestContext) -> bool:
    asked = context.request.headers.get("vmware-use-header-authn", "").lower()
    return context.dialect is ServedDialect.REST and asked != "true"


def _with_headers(response: Response, headers: dict[str, str]) -> Response:
    return replace(response, headers={**response.headers, **headers})


def _truncated(response: Response) -> Response:
    """Return a response whose announced length exceeds its body."""
    if not response.body:
        return response
    whole = _with_headers(response, {"content-length": str(len(response.body))})
    return replace(whole, body=response.body[: len(response.body) // 2])


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body
