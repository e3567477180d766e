"""Requests and answers on pooled connections, without aiohttp's client session around them.

A keep-alive is a request of a few hundred bytes and a status. aiohttp connects (names, proxies,
TLS) and parses the answers; what its session adds for other uses of HTTP (redirects, cookies,
streamed bodies) takes three quarters of the CPU time of a request.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import deque
from collections.abc import Mapping

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from yarl import URL

from keepalived.host.slices import PAUSE_SECONDS
from keepalived.vcenter.transport import AnswerTooLong, Reply

BODY_MOST = 32 * 1024 * 1024
"""The most bytes of an answer that are read: a list of 100,000 files has some 25 MB."""

LARGE_BODY = 1024 * 1024
"""Bytes beyond which a server's answers are read one at a time, to save memory."""

LINE_MOST = 64 * 1024
"""The most bytes of a status line or a header that are read. Gateways send long cookies."""

HEADERS_MOST = 512
"""The most headers that are read."""

INTERIM_MOST = 10
"""The most 1xx answers that are skipped before the final one."""

IDLE_SECONDS = 600.0
"""How long an unused connection is kept: longer than the pause between two renewals."""

_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_UNLIMITED = aiohttp.ClientTimeout(total=None)
_SWITCHING = 101

# Errors that show that the server has closed the connection.
_CLOSED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)


class NotHttpError(aiohttp.ClientError):
    """The answer is not HTTP."""


class TooLongError(aiohttp.ClientError):
    """A part of an answer's head exceeds its limit; the message says which."""


class ClosedMeanwhileError(aiohttp.ClientError):
    """The server had closed a connection that was to be reused; `how` says how that showed."""

    def __init__(self, how: aiohttp.ClientError) -> None:
        super().__init__()
        self.how = how


class ConnectionPool:
    """Connection pool for one server, with its default headers.

    Sends at most `at_once` requests concurrently; others wait. Create a new pool to verify the
    server in another way.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connector: aiohttp.BaseConnector,
        url: str,
        *,
        proxy: str | None,
        trusted: ssl.SSLContext | aiohttp.Fingerprint | bool,
        at_once: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = connector
        # A connector needs a request; this one is never sent.
        self._request = aiohttp.ClientRequest(
            "GET",
            URL(url),
            headers=session.headers,
            loop=self._loop,
            session=session,
            proxy=None if proxy is None else URL(proxy),
            ssl=trusted,
        )
        # A proxy gets the whole URL, unless there is a tunnel through it.
        is_proxy_told = proxy is not None and not self._request.is_ssl()
        self._before_path = url if is_proxy_told else ""
        self._headers = ""
        self._slots = asyncio.Semaphore(at_once)
        self._large = asyncio.Lock()
        self._idle: deque[tuple[float, Connection]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send a request once there is a slot for it, and return the whole answer within
        `timeout` seconds from then on. Waiting until others' long answers are read may take longer.

        Raises TimeoutError, OSError and aiohttp.ClientError if a connection cannot be made or
        breaks, ValueError for a request that cannot be sent, and TransportError if the answer is
        too long.
        """
        async with self._slots:
            # Waiting for other requests of our own says nothing about the server.
            until = self._loop.time() + timeout
            return await self._send(method, path, headers, body, until)

    def close(self) -> None:
        """Close the connections; those in use are closed after their answers."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop()[1].close()

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, until: float
    ) -> Reply:
        connection = used_before = self._take_idle()
        if connection is None:
            async with asyncio.timeout_at(until):
                connection = await self._connect()
        try:
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            request = self._written(method, path, headers, body)
            reply = await self._exchange(protocol, transport, request, until)
        except BaseException as error:
            connection.close()
            if used_before is not None and isinstance(error, _CLOSED):
                raise ClosedMeanwhileError(error) from None
            raise
        self._give_back(connection, protocol)
        return reply

    def _written(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        length = f"content-length: {len(body)}\r\n" if body or method != "GET" else ""
        own = f"{_lines(headers)}{length}"
        head = f"{method} {self._before_path}{path} HTTP/1.1\r\n{self._headers}{own}\r\n"
        lines = self._headers.count("\n") + len(headers) + bool(length) + 2
        if head.count("\n") != lines or head.count("\r") != lines or " " in path:
            raise ValueError("there is a line break in a header, or a blank in the path")
        return head.encode() + body

    async def _exchange(
        self, protocol: ResponseHandler, transport: asyncio.Transport, request: bytes, until: float
    ) -> Reply:
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            transport.abort()

        # A third of the cost of asyncio.timeout; enough, as only one connection is waited for.
        timer = self._loop.call_at(until, give_up)
        try:
            transport.write(request)
            message, content = await protocol.read()
            interim = 0
            while message.code < 200 and message.code != _SWITCHING:
                interim += 1
                if interim > INTERIM_MOST:
                    raise NotHttpError
                message, content = await protocol.read()
            body = await read(content, self._large)
            encoding = message.headers.get("content-encoding")
            if encoding is not None and body:
                body = await decompress(body, encoding)
            reply = Reply(message.code, message.headers, body)
        except Exception as error:
            if is_late:
                raise TimeoutError from None
            if isinstance(error, HttpProcessingError):
                raise _unreadable(error) from None
            raise
        finally:
            timer.cancel()
        if is_late:
            raise TimeoutError
        return reply

    async def _connect(self) -> Connection:
        connection = await self._connector.connect(self._request, [], _UNLIMITED)
        if connection.protocol is not None:
            connection.protocol.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=LINE_MOST,
                max_field_size=LINE_MOST,
                max_headers=HEADERS_MOST,
            )
        # By now the connector has added the headers for the proxy.
        self._headers = _lines(self._request.headers)
        return connection

    def _take_idle(self) -> Connection | None:
        while self._idle:
            _, connection = self._idle.pop()
            protocol = connection.protocol
            if protocol is not None and protocol.is_connected() and not protocol.should_close:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection, protocol: ResponseHandler) -> None:
        if self._is_closed or protocol.should_close:
            connection.close()
            return
        self._idle.append((self._loop.time(), connection))
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_SECONDS, self._close_unused)

    def _close_unused(self) -> None:
        """Close connections that were unused for long; the most recently used are reused first."""
        now, self._sweep = self._loop.time(), None
        while self._idle and now - self._idle[0][0] >= IDLE_SECONDS:
            self._idle.popleft()[1].close()
        if self._idle:
            when = self._idle[0][0] + IDLE_SECONDS
            self._sweep = self._loop.call_at(when, self._close_unused)


async def read(content: aiohttp.StreamReader, large: asyncio.Lock) -> bytes:
    """Return the whole body of an answer, the part beyond LARGE_BODY while holding `large`.

    Raises AnswerTooLong.
    """
    if content.at_eof():
        return b""  # as a keep-alive is answered
    body = await _read_more(content, b"", LARGE_BODY)
    if len(body) <= LARGE_BODY:
        return body
    async with large:
        body = await _read_more(content, body, BODY_MOST)
    if len(body) > BODY_MOST:
        raise AnswerTooLong(f"the answer is longer than {BODY_MOST >> 20} MiB")
    return body


async def _read_more(content: aiohttp.StreamReader, body: bytes, enough: int) -> bytes:
    """Return `body` and what follows: the whole body, or a little more than `enough` bytes."""
    parts, size = [body], len(body)
    while size <= enough and (part := await content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


async def decompress(body: bytes, encoding: str) -> bytes:
    """Return the plain body of an answer, decompressed in slices so that renewals can run.

    A body of an unknown encoding is returned unchanged. Raises AnswerTooLong, and
    aiohttp.ClientError for corrupt data.
    """
    wbits = _WBITS.get(encoding.strip().lower())
    if wbits is None:
        return body
    decompressor = zlib.decompressobj(wbits)
    parts: list[bytes] = []
    size = 0
    try:
        while body and not decompressor.eof:
            part = decompressor.decompress(body, LARGE_BODY)
            body = decompressor.unconsumed_tail
            parts.append(part)
            size += len(part)
            if size > BODY_MOST:
                raise AnswerTooLong(f"the answer is longer than {BODY_MOST >> 20} MiB")
            if body:
                await asyncio.sleep(PAUSE_SECONDS)
    except zlib.error:
        raise aiohttp.ClientPayloadError from None
    if not decompressor.eof:
        raise aiohttp.ClientPayloadError
    return b"".join(parts)


def _unreadable(error: HttpProcessingError) -> aiohttp.ClientError:
    """Return an error that describes what is wrong with the head of an answer."""
    if isinstance(error.__cause__, LineTooLong):
        return TooLongError(f"a line or a header of more than {LINE_MOST} bytes")
    if "too many headers" in error.message.lower():
        return TooLongError(f"more than {HEADERS_MOST} headers")
    return NotHttpError()


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
