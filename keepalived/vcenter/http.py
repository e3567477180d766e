"""The transport that users have: HTTP over one aiohttp connection pool per vCenter."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Mapping
from types import SimpleNamespace

import aiohttp
from yarl import URL

from keepalived.settings import VCenterSettings
from keepalived.vcenter.proxies import proxy_for
from keepalived.vcenter.resolver import RememberingResolver
from keepalived.vcenter.tls import trust
from keepalived.vcenter.transport import (
    ConnectFailed,
    Reply,
    StaleConnection,
    TimedOut,
    TransportError,
)

BODY_MOST = 16 * 1024 * 1024
"""Bytes of an answer that are read at most; a list of many thousand sessions is far smaller."""

_POOLED_SECONDS = 600.0
_USER_AGENT = "clkeepalived/" + importlib.metadata.version("content-library-keepalived")


def build_transport(settings: VCenterSettings) -> HttpTransport:
    """Return the transport to a vCenter; nothing is opened before the first request."""
    return HttpTransport(settings)


class HttpTransport:
    """Sends requests over pooled connections, verified as configured.

    Connections stay pooled across renewal intervals, so that most keep-alives need neither a
    handshake nor DNS.
    """

    def __init__(self, settings: VCenterSettings) -> None:
        self._settings = settings
        self._proxy = proxy_for(settings)
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request; see Transport."""
        connection = SimpleNamespace(is_reused=False)
        try:
            async with asyncio.timeout(timeout):
                return await self._send(method, path, headers, body, connection)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout:.3g} s") from None
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
            # The trusted files may have been replaced since they were read: next time, read anew.
            await self.close()
            raise ConnectFailed(_words(error)) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if connection.is_reused:
                raise StaleConnection(_words(error)) from None
            raise ConnectFailed(_words(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectFailed(_words(error)) from None

    async def close(self) -> None:
        """Close the pool. A request that follows opens another one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        connection: SimpleNamespace,
    ) -> Reply:
        if self._session is None:
            self._session = self._open()
        async with self._session.request(
            method,
            URL(self._settings.url + path, encoded=True),
            headers=headers,
            data=body or None,
            proxy=self._proxy,
            allow_redirects=False,
            trace_request_ctx=connection,
        ) as response:
            return Reply(response.status, _lower(response.headers), await _read(response))

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=trust(self._settings),
            resolver=RememberingResolver(),
            use_dns_cache=False,
            keepalive_timeout=_POOLED_SECONDS,
            limit=self._settings.max_in_flight + 2,
        )
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": _USER_AGENT, "accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[trace],
            trust_env=False,
        )


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.is_reused = True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > BODY_MOST:
            raise TransportError(f"the answer is longer than {BODY_MOST} bytes")
        parts.append(part)
    return b"".join(parts)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _words(error: Exception) -> str:
    """Say what failed, in words that fit a log line and hold neither path nor proxy password."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return f"the certificate is not one of the pinned ones: its SHA-256 is {error.got.hex()}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return f"cannot connect to {error.host}:{error.port}: {cause.strerror or cause}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection instead of answering"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was closed in the middle of the answer"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered HTTP {error.status}"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is not HTTP"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
