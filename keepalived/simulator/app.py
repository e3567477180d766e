"""The simulated vCenter: requests in, responses out, faults and ledger in between; no HTTP yet."""

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
from keepalived.simulator.ledger import Entry, Ledger
from keepalived.simulator.library import ContentLibrary
from keepalived.simulator.logins import Logins
from keepalived.simulator.operations import Server
from keepalived.simulator.routes import Dialect
from keepalived.simulator.views import error_view
from keepalived.simulator.visits import TOKEN_HEADER, Visit, understand, unknown_route
from keepalived.simulator.wire import Dropped, Refused, Request, Response

DEFAULT_USERNAME = "administrator@vsphere.local"
DEFAULT_PASSWORD = "simulated"  # noqa: S105 - guards nothing
DEFAULT_TOKEN_IDLE_TIMEOUT = 30 * 60.0
DEFAULT_TOKEN_MAX_AGE = 24 * 3600.0


class Simulator:
    """A vCenter's Content Library in both dialects and in the JSON-RPC of VMware's own SDKs.

    Times are seconds. `clock` gives monotonic seconds and `epoch` the wall time at its zero.
    `ledger_limit` bounds the ledger's list of requests (None: all, 0: counters only).
    `dialects` narrows what the server understands, as releases did. `with_admin` opens the admin
    endpoint, see `keepalived.simulator.admin`. `base_url` is the address that clients know.
    """

    def __init__(
        self,
        *,
        username: str = DEFAULT_USERNAME,
        password: str = DEFAULT_PASSWORD,
        session_timeout: float = DEFAULT.session_timeout,
        token_idle_timeout: float = DEFAULT_TOKEN_IDLE_TIMEOUT,
        token_max_age: float = DEFAULT_TOKEN_MAX_AGE,
        put_counts_as_activity: bool = True,
        bytes_during_put: bool = True,
        pull_duration: float = DEFAULT.pull_duration,
        validation_duration: float = 0.0,
        prepare_duration: float = 0.0,
        content_limit: int = DEFAULT_CONTENT_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        epoch: float | None = None,
        ledger_limit: int | None = None,
        dialects: Iterable[Dialect] = Dialect,
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
            clock, behaviour, content_limit=content_limit, chronicle=self._ledger
        )
        self._server = Server(self.library, self.logins, self.clock)
        self._going_down = asyncio.Event()

    @property
    def ledger(self) -> Ledger:
        """What happened so far, with everything that has fallen due by now."""
        self.library.settle()
        return self._ledger

    def open_session(self, *, kind: Kind = Kind.UPDATE, session_id: str | None = None) -> str:
        """Open a session of the first user on a new item, without a request; return its id."""
        return self.library.open_session(self.username, kind=kind, session_id=session_id).id

    def restart(self, *, lose_tokens: bool = False, down_seconds: float = 0.0) -> None:
        """Drop what is in flight, refuse connections for a while, and perhaps lose all tokens.

        Sessions survive, and their time runs on.
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
        """Answer a request. `chunks` is the body of an upload, where it comes as a stream.

        Raises Dropped and Refused where a fault, or a restart, leaves it unanswered.
        """
        if self.with_admin and request.target.startswith(admin.PREFIX):
            return admin.handle(self, request)
        visit = understand(request, self._dialects, self.base_url)
        entry = self._enter(visit)
        try:
            effects = self.faults.hitting(entry) if self.faults else None
            if effects:
                entry.fault = "+".join(effect_name(effect) for effect in effects)
                response = await self._act_under(effects, visit, chunks)
            else:
                response = await self._carry_out(visit, chunks)
            entry.status = response.status
        finally:
            self._ledger.finish(entry, self._now())
        return response

    def _enter(self, visit: Visit) -> Entry:
        session_id = visit.session_id
        if visit.is_upload:
            session_id = self.library.transfers.session_of(visit.call.text("ticket"))
        elif visit.is_download:
            session_id = self.library.downloads.session_of(visit.call.text("ticket"))
        login = self.logins.peek(visit.call.token)
        entry = Entry(
            self._now(),
            visit.request.method,
            visit.route.operation.name if visit.route is not None else "",
            visit.dialect.value,
            session_id,
            visit.client_progress,
            login.alias if login is not None else "",
        )
        self._ledger.begin(entry, is_content=visit.is_upload or visit.is_download)
        return entry

    async def _carry_out(self, visit: Visit, chunks: AsyncIterator[bytes] | None) -> Response:
        if visit.is_upload:
            return await self._receive(visit, chunks)
        return self._send(visit) if visit.is_download else self._act(visit)

    def _act(self, visit: Visit) -> Response:
        """Carry out an operation, and answer with its result or with the error it met."""
        call, route = visit.call, visit.route
        try:
            if route is None:
                raise visit.problem or unknown_route()
            operation = route.operation
            if operation.needs_login:
                call.login = self.logins.authenticate(call.token)
                if operation.privilege is not None and call.login.user.read_only:
                    words = f"The caller lacks the privilege {operation.privilege}."
                    raise ApiError(ErrorType.UNAUTHORIZED, words)
            if visit.problem is not None:
                raise visit.problem
            with ExitStack() as stack:
                for each in visit.lifetimes:
                    sessions = self.library.sessions
                    stack.enter_context(sessions.shortened(each.seconds, announced=each.announced))
                value = operation.run(self._server, call)
        except ApiError as error:
            return self._refusal(visit, error)
        if route.dialect is Dialect.JSON_RPC:
            return self._response(visit, 200, jsonrpc.output(visit.rpc_id, value))
        response = self._response(visit, *bodies.write(route, value))
        if operation.name == "session.create" and _wants_cookie(visit):
            cookie = f"{TOKEN_HEADER}={value}; Path=/rest; HttpOnly"
            return _with_headers(response, {"set-cookie": cookie})
        return response

    async def _receive(self, visit: Visit, chunks: AsyncIterator[bytes] | None) -> Response:
        """Take in an upload as it comes."""
        going_down = self._going_down
        try:
            upload = self.library.transfers.begin_upload(visit.call.text("ticket"))
            try:
                async for chunk in chunks or _at_once(visit.request.body):
                    if going_down.is_set():
                        raise Dropped
                    upload.write(chunk)
                upload.finish()
            finally:
                upload.interrupt()
        except ApiError as error:
            return self._refusal(visit, error)
        return self._response(visit, 200, b"")

    def _send(self, visit: Visit) -> Response:
        """Begin to send out a file."""
        going_down = self._going_down
        try:
            download = self.library.downloads.begin(visit.call.text("ticket"))
        except ApiError as error:
            return self._refusal(visit, error)

        def stream() -> bytes:
            if going_down.is_set():
                raise Dropped
            try:
                return download.read()
            except ApiError:
                raise Dropped from None

        length = {"content-length": str(download.size), "content-type": "application/octet-stream"}
        return replace(_with_headers(self._response(visit, 200, b""), length), stream=stream)

    async def _act_under(
        self, effects: list[Effect], visit: Visit, chunks: AsyncIterator[bytes] | None
    ) -> Response:
        """Carry out an operation under faults: in their order, as far as the first that ends it."""
        response: Response | None = None

        async def act() -> Response:
            return response or await self._carry_out(visit, chunks)

        for effect in effects:
            if isinstance(effect, Refuse):
                raise Refused
            if isinstance(effect, Skew):
                visit.date_skew += effect.seconds if effect.date else 0
                visit.call.expiry_skew += effect.seconds if effect.expiration_time else 0
            elif isinstance(effect, Lifetime):
                visit.lifetimes.append(effect)
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
                return self._refusal(visit, unknown_route())
            elif isinstance(effect, Fail):
                return self._failure(visit, effect)
        response = await act()
        return _truncated(response) if any(isinstance(e, Truncate) for e in effects) else response

    async def _pause(self, seconds: float | None) -> None:
        """Wait, for ever if `seconds` is None. Raises Dropped when the server restarts."""
        try:
            async with asyncio.timeout(seconds):
                await self._going_down.wait()
        except TimeoutError:
            return
        raise Dropped

    def _failure(self, visit: Visit, fault: Fail) -> Response:
        words = f"A fault was asked for: {fault.status}."
        error = ApiError(type_for_status(fault.status), words, status=fault.status)
        response = replace(self._refusal(visit, error), status=fault.status)
        if fault.retry_after is None:
            return response
        return _with_headers(response, {"retry-after": f"{fault.retry_after:g}"})

    def _refusal(self, visit: Visit, error: ApiError) -> Response:
        if visit.dialect is Dialect.JSON_RPC:
            return self._response(visit, 200, jsonrpc.error(visit.rpc_id, error_view(error)))
        return self._response(visit, *bodies.write_error(visit.dialect, error))

    def _response(self, visit: Visit, status: int, body: bytes) -> Response:
        headers = {"date": self.clock.date_header(visit.date_skew)}
        if body:
            headers["content-type"] = "application/json"
        return Response(status, headers, body)


def _wants_cookie(visit: Visit) -> bool:
    asked = visit.request.headers.get("vmware-use-header-authn", "").lower()
    return visit.dialect is Dialect.REST and asked != "true"


def _with_headers(response: Response, headers: dict[str, str]) -> Response:
    return replace(response, headers={**response.headers, **headers})


def _truncated(response: Response) -> Response:
    """Return a response that announces more than it holds."""
    if not response.body:
        return response
    whole = _with_headers(response, {"content-length": str(len(response.body))})
    return replace(whole, body=response.body[: len(response.body) // 2])


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body
