"""Requests and answers on pooled connections, without aiohttp's client session around them.

A keep-alive is a few hundred bytes there and a status back. aiohttp connects (names, proxies, TLS),
pools the connections and parses the answers; what its session adds for everything else that HTTP
can be (redirects, cookies, bodies that stream) takes three quarters of the CPU time of a request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from keepalived.vcenter.transport import Reply, TransportError

BODY_MOST = 16 * 1024 * 1024
"""Bytes of an answer that are read at most; a list of many thousand sessions is far smaller."""

_UNLIMITED = aiohttp.ClientTimeout(total=None)
_SWITCHING = 101


class NotHttpError(aiohttp.ClientError):
    """What came back is not HTTP."""


class Door:
    """The way to one server: which connections of a session's pool lead there, and what all
    requests there say. To be made anew where the server is to be verified in another way.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connector: aiohttp.BaseConnector,
        url: str,
        *,
        proxy: str | None,
        trusted: ssl.SSLContext | aiohttp.Fingerprint | bool,
    ) -> None:
        self._connector = connector
        # A connector is asked by a request; this one is never sent.
        self._request = aiohttp.ClientRequest(
            "GET",
            URL(url),
            headers=session.headers,
            loop=asyncio.get_running_loop(),
            session=session,
            proxy=None if proxy is None else URL(proxy),
            ssl=trusted,
        )
        # A proxy is told the whole address, unless there is a tunnel through it.
        is_proxy_told = proxy is not None and not self._request.is_ssl()
        self._before_path = url if is_proxy_told else ""
        self._headers = ""

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a request and return the whole answer.

        Raises OSError and aiohttp.ClientError where a connection cannot be had or breaks,
        ValueError for what cannot be sent, and TransportError for an answer that is too long.
        """
        connection = await self._connector.connect(self._request, [], _UNLIMITED)
        try:
            if not self._headers:
                # By now the connector has added what the proxy asks for.
                self._headers = _lines(self._request.headers)
            reply = await _exchange(connection, self._written(method, path, headers, body))
        except BaseException:
            connection.close()
            raise
        connection.release()
        return reply

    def _written(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        length = f"content-length: {len(body)}\r\n" if body or method != "GET" else ""
        own = f"{_lines(headers)}{length}"
        head = f"{method} {self._before_path}{path} HTTP/1.1\r\n{self._headers}{own}\r\n"
        lines = self._headers.count("\n") + len(headers) + bool(length) + 2
        if head.count("\n") != lines or head.count("\r") != lines or " " in path:
            raise ValueError("there is a line break in a header, or a blank in the path")
        return head.encode() + body


async def _exchange(connection: Connection, request: bytes) -> Reply:
    protocol = connection.protocol
    if protocol is None or protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    # Also puts a fresh parser in the place of the last answer's.
    protocol.set_response_params(read_until_eof=True)
    protocol.transport.write(request)
    try:
        message, content = await protocol.read()
        while message.code < 200 and message.code != _SWITCHING:
            message, content = await protocol.read()
    except HttpProcessingError:
        raise NotHttpError from None
    return Reply(message.code, message.headers, await read(content))


async def read(content: aiohttp.StreamReader) -> bytes:
    """Return the whole body of an answer. Raises TransportError for one that is too long."""
    if content.at_eof():
        return b""  # as a keep-alive is answered
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > BODY_MOST:
            raise TransportError(f"the answer is longer than {BODY_MOST} bytes")
        parts.append(part)
    return b"".join(parts)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
