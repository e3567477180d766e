"""One HTTP connection to a server: writes a request, and reads its answer within limits.

httptools parses. Any failure closes the connection; so does data that arrives on an idle one,
because it is no answer to the next request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from keepalived.vcenter import bodies
from keepalived.vcenter.failures import CUT_OFF, NO_ANSWER, NOT_HTTP, describe_error, too_long
from keepalived.vcenter.tls import Trust
from keepalived.vcenter.transport import ConnectFailed, Reply, StaleConnection

LINE_MOST = 64 * 1024
"""The most bytes of a status line or a header that are read. Gateways send long cookies."""

HEADERS_MOST = 512
"""The most headers that are read."""

INTERIM_MOST = 10
"""The most 1xx answers that are skipped before the final one."""

LINE_TOO_LONG = too_long(f"a line or a header of more than {LINE_MOST} bytes")
TOO_MANY_HEADERS = too_long(f"more than {HEADERS_MOST} headers")

_SWITCHING = 101
_BUFFER_BYTES = 64 * 1024
_CLOCK_SECONDS = 0.001  # event loops call up to this early


class Headers(Mapping[str, str]):
    """The headers of an answer, by lower-case name. Of several with one name, the first counts.

    They are decoded when they are looked up: most never are.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        wanted = name.encode()
        for each, value in self._raw:
            if each.lower() == wanted:
                return value.strip().decode("utf-8", "surrogateescape")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower().decode("latin-1"): None for name, _ in self._raw})

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._raw})


class Shared:
    """What the connections of one event loop to one server share, to save memory.

    `buffer` takes what is received until it is parsed, which the loop does at once. Only one
    connection at a time reads a large body.
    """

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._queue: deque[Connection] = deque()

    def enter(self, connection: Connection) -> None:
        """Pause a connection with a large body until those before it have left."""
        self._queue.append(connection)
        if self._queue[0] is not connection:
            connection.transport.pause_reading()

    def leave(self, connection: Connection) -> None:
        """Let the next connection read."""
        was_first = self._queue[0] is connection
        self._queue.remove(connection)
        if was_first and self._queue:
            self._queue[0].transport.resume_reading()


class Connection(asyncio.BufferedProtocol):
    """A connection to a server, for one request at a time.

    It receives into a buffer: a protocol that is given bytes gets 256 KiB of fresh memory for each
    answer from both event loops, which the C library maps and unmaps. That takes 30 µs.
    """

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared) -> None:
        self._loop = loop
        self._shared = shared
        self._parser = HttpResponseParser(self)
        # As aiohttp does: lenient where the end of an answer does not depend on it.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._feed = self._parser.feed_data
        # A server may answer before the first request, such as one with too many connections.
        self._answer: asyncio.Future[Reply] = loop.create_future()
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._is_large = False
        self._status = 0
        """The answer's status; 0 while its head is incomplete."""
        self._line = 0
        """The bytes of its status line."""
        self._held = 0
        """The bytes received since the parser last passed something on, at least."""
        self._interim = 0
        self._was_asked = self._has_answered = False
        self._keeps_alive = True
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.trust: Trust | None = None
        """What the server was verified by."""
        self.idle_since = 0.0
        """When it was last used, in seconds of the loop's clock."""
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the connection is closed."""

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent after an answer, as far as is known."""
        return self._keeps_alive and not self._is_closing()

    def exchange(self, request: bytes, until: float) -> asyncio.Future[Reply]:
        """Send a request. The future is its answer, or fails with a TransportError.

        It fails with a TimeoutError at the time `until`, in seconds of the loop's clock.
        """
        if self._was_asked:
            self._answer = self._loop.create_future()
        self._was_asked = True
        self._until = until
        if self._timer is None or until < self._timer_at:
            self._watch()
        if self._is_closing():
            self._close(None)
        else:
            self.transport.write(request)
        return self._answer

    def abort(self) -> None:
        """Close the connection at once; a request under way fails."""
        self._fail(ConnectFailed(NO_ANSWER))

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to receive: over TLS, with room for all that has come.

        What a full buffer leaves behind is lost if the server closes the connection just then.
        """
        shared = self._shared
        if sizehint >= len(shared.buffer):
            shared.buffer = memoryview(bytearray(2 * sizehint))
        return shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse some part of an answer."""
        if self._answer.done():
            self.abort()
            return
        self._held += nbytes
        try:
            self._feed(self._shared.buffer[:nbytes])
        except HttpParserUpgrade:
            self._keeps_alive = False
        except HttpParserError:
            self._fail(ConnectFailed(NOT_HTTP))
        else:
            # A header is passed on once the name of the next one begins.
            if self._held > 3 * LINE_MOST:
                self._fail(ConnectFailed(LINE_TOO_LONG))

    def connection_lost(self, error: Exception | None) -> None:
        """Complete an answer that ends with the connection, or fail."""
        self._close(error)
        if self._timer is not None:
            self._timer.cancel()
        self.lost.set_result(None)
        del self._parser, self._feed, self.transport  # which refer back to this

    # What the parser calls

    def on_message_begin(self) -> None:
        """Refuse anything behind an answer."""
        if self._answer.done():
            raise ConnectFailed(NOT_HTTP)

    def on_status(self, text: bytes) -> None:
        """Measure the status line."""
        self._held = 0
        self._line += len(text)
        if self._line > LINE_MOST:
            self._stop(ConnectFailed(LINE_TOO_LONG))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        self._held = 0
        self._headers.append((name, value))
        if len(name) + len(value) > LINE_MOST:
            self._stop(ConnectFailed(LINE_TOO_LONG))
        if len(self._headers) > HEADERS_MOST:
            self._stop(ConnectFailed(TOO_MANY_HEADERS))

    def on_headers_complete(self) -> None:
        """Note the status, and whether the connection stays open."""
        self._status = self._parser.get_status_code()
        self._keeps_alive = self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self._held = 0
        self._body += part
        if len(self._body) > bodies.BODY_MOST:
            self._stop(bodies.body_too_long())
        if len(self._body) > bodies.LARGE_BODY and not self._is_large:
            self._is_large = True
            self._shared.enter(self)

    def on_message_complete(self) -> None:
        """Pass on an answer, unless it is an interim one."""
        status, headers = self._status, self._headers
        self._status = self._line = self._held = 0
        self._headers = []
        if status < 200 and status != _SWITCHING:
            self._interim += 1
            if self._interim > INTERIM_MOST:
                self._stop(ConnectFailed(NOT_HTTP))
            return
        self._interim = 0
        self._has_answered = True
        body = b""
        if self._body:
            body = bytes(self._body)
            self._forget_body()
        self._answer.set_result(Reply(status, Headers(headers), body))

    def _is_closing(self) -> bool:
        return self.lost.done() or self.transport.is_closing()

    def _watch(self) -> None:
        """Give up a request whose time is over. One timer serves all requests in its time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answer.done():
            return
        if self._until - self._loop.time() < _CLOCK_SECONDS:
            self._fail(TimeoutError())
        else:
            self._timer_at = self._until
            self._timer = self._loop.call_at(self._until, self._watch)

    def _close(self, error: Exception | None) -> None:
        """Settle an answer that is still awaited while the connection closes."""
        if self._answer.done():
            return
        if self._status == 0:
            # The server may have closed the connection before the request came.
            kind = StaleConnection if self._has_answered else ConnectFailed
            self._fail(kind(NO_ANSWER if error is None else describe_error(error)))
        elif error is None and self._ends_with_connection():
            self.on_message_complete()
        else:
            self._fail(ConnectFailed(CUT_OFF))

    def _ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends the body, which the parser knows, but
        does not tell."""
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length":
                return False
            if lower == b"transfer-encoding" and b"chunked" in value.lower():
                return False
        return True

    def _stop(self, error: Exception) -> None:
        """Fail, and stop the parser by an exception."""
        self._fail(error)
        raise error

    def _fail(self, error: Exception) -> None:
        self._forget_body()
        if not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # need not be asked for: the request may have been cancelled
        if not self.lost.done():
            self.transport.abort()

    def _forget_body(self) -> None:
        self._body = bytearray()
        if self._is_large:
            self._is_large = False
            self._shared.leave(self)
