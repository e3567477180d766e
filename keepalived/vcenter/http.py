"""The transport that users have: HTTP over one aiohttp connection pool per vCenter."""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from keepalived.settings import VCenterSettings
from keepalived.vcenter.failures import words_for
from keepalived.vcenter.proxies import check_proxy, proxy_for
from keepalived.vcenter.resolver import RememberingResolver
from keepalived.vcenter.tls import trust
from keepalived.vcenter.transport import ConnectFailed, Reply, StaleConnection, TimedOut
from keepalived.vcenter.wire import Door, read

_POOLED_SECONDS = 600.0
_USER_AGENT = "clkeepalived/" + importlib.metadata.version("content-library-keepalived")

# By these a pooled connection tells that the server has closed it.
_CLOSED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)


def build_transport(settings: VCenterSettings) -> HttpTransport:
    """Return the transport to a vCenter; nothing is opened before the first request."""
    return HttpTransport(settings)


class HttpTransport:
    """Sends requests over pooled connections, verified as configured.

    Connections stay pooled across renewal intervals, so that most keep-alives need neither a
    handshake nor DNS. `resolver` takes the place of the system's.
    """

    def __init__(
        self, settings: VCenterSettings, *, resolver: AbstractResolver | None = None
    ) -> None:
        self._settings = settings
        self._proxy = proxy_for(settings)
        self._resolver = RememberingResolver(resolver)
        self._session: aiohttp.ClientSession | None = None
        self._trusted: ssl.SSLContext | aiohttp.Fingerprint | bool | None = None
        self._way: Door | None = None

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request; see Transport."""
        opened = _Connection()
        _in_use.set(opened)
        try:
            async with asyncio.timeout(timeout):
                return await self._door().send(method, path, headers, body)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout:.3g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            words = self._words_for(error)
            if isinstance(error, _CLOSED) and not opened.is_new:
                raise StaleConnection(words) from None
            raise ConnectFailed(words) from None

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send content by PUT; see UploadTransport."""
        _in_use.set(_Connection())
        try:
            async with self._pool().put(
                URL(url, encoded=True),
                # What it would be sent by otherwise, chunks without a length, not all servers take.
                headers={**headers, "content-length": str(size)},
                data=content,
                proxy=self._proxy,
                ssl=self._trust(),
                allow_redirects=False,
            ) as response:
                return Reply(response.status, response.headers, await read(response.content))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectFailed(self._words_for(error)) from None

    def _words_for(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
            # The trusted files may have been replaced since they were read: read them anew.
            self._trusted = self._way = None
        return words_for(error, proxied=self._proxy is not None)

    async def close(self) -> None:
        """Close the pool. A request that follows opens another one."""
        session, self._session, self._way = self._session, None, None
        if session is not None:
            await session.close()
        await self._resolver.close()

    def _door(self) -> Door:
        if self._way is None:
            session = self._pool()
            assert session.connector is not None  # noqa: S101 - it is open
            trusted, url = self._trust(), self._settings.url
            self._way = Door(session, session.connector, url, proxy=self._proxy, trusted=trusted)
        return self._way

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            if self._proxy is not None:
                check_proxy(self._proxy)
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                keepalive_timeout=_POOLED_SECONDS,
                limit=self._settings.max_in_flight + 2,
                socket_factory=_open_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": _USER_AGENT, "accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session

    def _trust(self) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
        if self._trusted is None:
            is_tls = self._settings.url.startswith("https:")
            self._trusted = trust(self._settings) if is_tls else True
        return self._trusted


@dataclass(slots=True)
class _Connection:
    """What the connection of one request is, as far as it matters: new, or out of the pool."""

    is_new: bool = False


_in_use: ContextVar[_Connection] = ContextVar("_in_use")


def _open_socket(address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """Open a socket for the request under way, whose connection is a new one therefore."""
    _in_use.get().is_new = True
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)
