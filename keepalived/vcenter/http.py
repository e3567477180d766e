"""The HTTP transport, with one pool of aiohttp connections per vCenter."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from keepalived.host import blocking
from keepalived.host.descriptors import EXHAUSTED, are_exhausted
from keepalived.settings import VCenterSettings
from keepalived.vcenter.failures import describe_error
from keepalived.vcenter.proxies import check_proxy, proxy_for
from keepalived.vcenter.resolver import RememberingResolver
from keepalived.vcenter.tls import Pinned, trust
from keepalived.vcenter.transport import ConnectFailed, NotSent, Reply, StaleConnection, TimedOut
from keepalived.vcenter.wire import (
    HEADERS_MOST,
    LINE_MOST,
    ClosedMeanwhileError,
    ConnectionPool,
    read,
)
from keepalived.version import VERSION

_BESIDES = 2
"""Concurrent requests in addition to those of the keeper's workers: probes, and those of
`Keeper.aside`."""

_FILES_SECONDS = 5.0
"""The most seconds that reading the authorities' files may take."""

_USER_AGENT = f"clkeepalived/{VERSION}"


def build_transport(settings: VCenterSettings) -> HttpTransport:
    """Return the transport to a vCenter; nothing is opened before the first request."""
    return HttpTransport(settings)


class HttpTransport:
    """Sends requests over pooled connections, verified as configured.

    handshake nor DNS. `resolver` replaces the system's resolver.
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
        self._pool: ConnectionPool | None = None

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request; see Transport."""
        await self._read_trusted()
        try:
            try:
                return await self._open_pool().send(method, path, headers, body, timeout)
            except aiohttp.ClientConnectorCertificateError:
                if not self._settings.known_fingerprints:
                    raise
                self._trust_known_fingerprints()
                return await self._open_pool().send(method, path, headers, body, timeout)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout:.3g} s") from None
        except ClosedMeanwhileError as error:
            raise StaleConnection(self._words_for(error.how)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error, self._words_for(error)) from None

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send content by PUT; see UploadTransport."""
        await self._read_trusted()
        try:
            async with self._client_session().put(
                URL(url, encoded=True),
                # Without a length it would be sent in chunks, which not all servers accept.
                headers={**headers, "content-length": str(size)},
                data=content,
                proxy=self._proxy,
                ssl=self._trust(),
                allow_redirects=False,
            ) as response:
                return Reply(
                    response.status, response.headers, await read(response.content, asyncio.Lock())
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectFailed(self._words_for(error)) from None

    def _words_for(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
            # The trusted files may have been replaced since they were read: read them again.
            self._trusted = None
            self._close_pool()
        return describe_error(error, proxied=self._proxy is not None)

    async def close(self) -> None:
        """Close the pool. A later request opens a new one."""
        session, self._session = self._session, None
        pool, self._pool = self._pool, None
        try:
            if session is not None:
                # Waits for all connections, which closing them one by one would not do.
                await session.close()
        finally:
            if pool is not None:
                pool.close()
        await self._resolver.close()

    def _open_pool(self) -> ConnectionPool:
        if self._pool is None:
            session = self._client_session()
            assert session.connector is not None  # noqa: S101 - it is open
            self._pool = ConnectionPool(
                session,
                session.connector,
                self._settings.url,
                proxy=self._proxy,
                trusted=self._trust(),
                at_once=self._settings.max_in_flight + _BESIDES,
            )
        return self._pool

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _client_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            if self._proxy is not None:
                check_proxy(self._proxy)
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit=0,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": _USER_AGENT, "accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None),
                max_line_size=LINE_MOST,
                max_field_size=LINE_MOST,
                max_headers=HEADERS_MOST,
                trust_env=False,
            )
        return self._session

    def _trust_known_fingerprints(self) -> None:
        """Verify by known fingerprints instead of authorities, until these do not match either."""
        if not isinstance(self._trusted, aiohttp.Fingerprint):
            self._close_pool()
            self._trusted = Pinned(self._settings.known_fingerprints)

    async def _read_trusted(self) -> None:
        """Read the authorities' files in a thread, as their file system may not answer."""
        if self._trusted is not None or not self._settings.ca_files:
            return
        reading = blocking.call(("trusted", self), self._trust, seconds=_FILES_SECONDS)
        try:
            await reading
        except TimeoutError:
            words = f"ca_file: it could not be read in {_FILES_SECONDS:g} s"
            raise ConnectFailed(words) from None
        except (OSError, ValueError) as error:
            raise ConnectFailed(self._words_for(error)) from None

    def _trust(self) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
        if self._trusted is None:
            is_tls = self._settings.url.startswith("https:")
            self._trusted = trust(self._settings) if is_tls else True
        return self._trusted


def _failure(error: Exception, words: str) -> ConnectFailed:
    # A lookup that fails for lack of descriptors looks like one of an unknown name.
    is_lookup = isinstance(error, aiohttp.ClientConnectorDNSError)
    is_ours = isinstance(error, OSError) and error.errno in EXHAUSTED
    if is_ours or (is_lookup and are_exhausted()):
        return NotSent(f"this process has no descriptor left: {words}")
    return ConnectFailed(words)
