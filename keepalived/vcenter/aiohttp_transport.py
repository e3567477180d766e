"""The transport through a proxy, and for content that streams, with aiohttp's client session."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from keepalived.settings import VCenterSettings
from keepalived.vcenter import bodies
from keepalived.vcenter.bodies import body_too_long, decompress
from keepalived.vcenter.connection import (
    HEADERS_MOST,
    LINE_MOST,
    LINE_TOO_LONG,
    TOO_MANY_HEADERS,
)
from keepalived.vcenter.failures import (
    CUT_OFF,
    NO_ANSWER,
    NOT_HTTP,
    cannot_connect,
    cannot_resolve,
    describe_error,
    failure,
    not_pinned,
    not_trusted,
)
from keepalived.vcenter.proxies import check_proxy
from keepalived.vcenter.request_writer import DEFAULT_HEADERS, RequestWriter
from keepalived.vcenter.resolver import RememberingResolver
from keepalived.vcenter.tls import Trust, UnpinnedError, Verification
from keepalived.vcenter.transport import (
    BESIDES,
    IDLE_SECONDS,
    ConnectFailed,
    Reply,
    StaleConnection,
    TimedOut,
)

# Errors that show that the server has closed the connection.
_CLOSED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)


class AiohttpTransport:
    """Sends requests with an aiohttp client session, through a proxy if there is one.

    Limits and errors are those of DirectTransport, except that 1xx answers are not counted.
    """

    def __init__(
        self,
        settings: VCenterSettings,
        proxy: str | None,
        resolver: RememberingResolver | None = None,
    ) -> None:
        self._settings = settings
        self._proxy = proxy
        self._is_tls = settings.url.startswith("https:")
        self._verification = Verification(settings)
        self._resolver = resolver or RememberingResolver()
        self._slots = asyncio.Semaphore(settings.max_in_flight + BESIDES)
        self._large = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request; see Transport."""
        try:
            RequestWriter({}).write(method, path, headers, b"")  # for its checks
        except ValueError as error:
            raise ConnectFailed(describe_error(error)) from None
        url = URL(f"{self._settings.url}{path}", encoded=True)
        if self._is_tls:
            await self._verification.read()
        async with self._slots:
            # Waiting for other requests of our own says nothing about the server.
            try:
                async with asyncio.timeout(timeout):
                    return await self._request(method, url, headers, body or None)
            except TimeoutError:
                raise TimedOut(f"no answer within {timeout:.3g} s") from None

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send content by PUT; see UploadTransport."""
        # Without a length it would be sent in chunks, which not all servers accept.
        sized = {**headers, "content-length": str(size)}
        try:
            return await self._request("PUT", URL(url, encoded=True), sized, content)
        except TimeoutError as error:  # of the system
            raise ConnectFailed(describe_error(error)) from None

    async def close(self) -> None:
        """Close all connections. A later request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._resolver.close()

    async def _request(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        data: bytes | AsyncIterator[bytes] | None,
    ) -> Reply:
        trust = await self._verification.read() if url.scheme == "https" else None
        seen = SimpleNamespace(is_reused=False)
        try:
            async with self._open_session().request(
                method,
                url,
                headers=headers,
                data=data,
                proxy=self._proxy,
                ssl=True if trust is None else _for_aiohttp(trust),
                allow_redirects=False,
                trace_request_ctx=seen,
            ) as response:
                body = await self._read(response.content)
                reply = Reply(response.status, response.headers, body)
        except aiohttp.ClientConnectorCertificateError as error:
            if trust is None or not self._verification.fall_back(trust):
                raise self._failure(error) from None
            return await self._request(method, url, headers, data)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if seen.is_reused and isinstance(error, _CLOSED):
                raise StaleConnection(self._describe(error)) from None
            raise self._failure(error) from None
        if reply.body and (encoding := reply.headers.get("content-encoding")) is not None:
            return reply._replace(body=await decompress(reply.body, encoding))
        return reply

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        """Return the whole body of an answer; only one at a time is read beyond LARGE_BODY."""
        body = await _read_more(content, b"", bodies.LARGE_BODY)
        if len(body) <= bodies.LARGE_BODY:
            return body
        async with self._large:
            body = await _read_more(content, body, bodies.BODY_MOST)
        if len(body) > bodies.BODY_MOST:
            raise body_too_long()
        return body

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            if self._proxy is not None:
                check_proxy(self._proxy)
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_reuseconn.append(_note_reused)
            tracing.on_connection_create_start.append(_note_new)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Resolver(self._resolver),
                    use_dns_cache=False,
                    limit=0,
                    keepalive_timeout=IDLE_SECONDS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=DEFAULT_HEADERS,
                skip_auto_headers=("content-type",),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                max_line_size=LINE_MOST,
                max_field_size=LINE_MOST,
                max_headers=HEADERS_MOST,
                trust_env=False,
                trace_configs=[tracing],
            )
        return self._session

    def _failure(self, error: Exception) -> ConnectFailed:
        if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
            # The trusted files may have been replaced since they were read: read them again.
            self._verification.forget()
        is_lookup = isinstance(error, aiohttp.ClientConnectorDNSError)
        return failure(error, self._describe(error), is_lookup=is_lookup)

    def _describe(self, error: Exception) -> str:
        """Describe a failure, without the path and without any part of the proxy's URL."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return not_trusted(error.certificate_error)
        if isinstance(error, aiohttp.ServerFingerprintMismatch):
            return not_pinned(error.got)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            # With a proxy, aiohttp still names the host behind it.
            is_direct = self._proxy is None
            return cannot_resolve(f"the name {error.host}" if is_direct else "the proxy's name")
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return cannot_connect("the proxy", error.os_error)
        if isinstance(error, aiohttp.ClientConnectorError):
            return cannot_connect(f"{error.host}:{error.port}", error.os_error)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return NO_ANSWER
        if isinstance(error, aiohttp.ClientPayloadError):
            return CUT_OFF
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"the proxy answered HTTP {error.status}"
        if isinstance(error, aiohttp.ClientResponseError):
            message = error.message.lower()
            if "got more than" in message:
                return LINE_TOO_LONG
            return TOO_MANY_HEADERS if "too many headers" in message else NOT_HTTP
        if isinstance(error, aiohttp.ClientOSError) and error.errno is None:
            return NO_ANSWER  # aiohttp's own words name the path
        return describe_error(error)


class _Pinned(aiohttp.Fingerprint):
    """Accepts any of several certificates, whereas aiohttp's own accepts one."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__(next(iter(trust.pins)))

    def __eq__(self, other: object) -> bool:
        # Connections are reused where this is equal.
        return isinstance(other, _Pinned) and other._trust is self._trust

    def __hash__(self) -> int:
        return hash(self._trust)

    def check(self, transport: asyncio.Transport) -> None:
        """Raise ServerFingerprintMismatch unless the peer's certificate is a pinned one."""
        try:
            self._trust.check(transport.get_extra_info("ssl_object"))
        except UnpinnedError as error:
            host, port, *_ = transport.get_extra_info("peername")
            raise aiohttp.ServerFingerprintMismatch(
                self.fingerprint, error.sha256, host, port
            ) from None


class _Resolver(aiohttp.ThreadedResolver):
    """Has names resolved by ours."""

    def __init__(self, resolver: RememberingResolver) -> None:
        super().__init__()
        self._remembering = resolver

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        """Return what aiohttp calls hosts."""
        return [
            {
                "hostname": host,
                "host": address[0],
                "port": port,
                "family": of,
                "proto": proto,
                "flags": 0,
            }
            for of, _, proto, _, address in await self._remembering.resolve(host, port)
        ]


def _for_aiohttp(trust: Trust) -> ssl.SSLContext | aiohttp.Fingerprint:
    return _Pinned(trust) if trust.pins else trust.context


async def _note_reused(_session: object, seen: SimpleNamespace, _params: object) -> None:
    seen.trace_request_ctx.is_reused = True


async def _note_new(_session: object, seen: SimpleNamespace, _params: object) -> None:
    seen.trace_request_ctx.is_reused = False


async def _read_more(content: aiohttp.StreamReader, body: bytes, enough: int) -> bytes:
    """Return `body` and what follows: the whole body, or a little more than `enough` bytes."""
    parts, size = [body], len(body)
    while size <= enough and (part := await content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
