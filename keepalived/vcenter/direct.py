"""The transport to a vCenter without a proxy: a pool of connections of our own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping

from aiohappyeyeballs import start_connection

from keepalived.settings import VCenterSettings
from keepalived.settings.values import PORTS, split_vcenter_url
from keepalived.vcenter.bodies import decompress
from keepalived.vcenter.connection import Connection, Shared
from keepalived.vcenter.failures import (
    cannot_connect,
    cannot_resolve,
    describe_error,
    failure,
    not_trusted,
)
from keepalived.vcenter.request_writer import DEFAULT_HEADERS, RequestWriter
from keepalived.vcenter.resolver import Addresses, Lookup, RememberingResolver, system_lookup
from keepalived.vcenter.tls import Trust, UnpinnedError, Verification
from keepalived.vcenter.transport import (
    BESIDES,
    IDLE_SECONDS,
    ConnectFailed,
    Reply,
    TimedOut,
    UploadTransport,
)

_CLOSING_SECONDS = 1.0
_NEXT_ADDRESS_SECONDS = 0.25
"""How long to wait for one address before the next is tried as well (RFC 8305)."""


class DirectTransport:
    """Sends requests over connections that are kept and reused.

    At most `max_in_flight` + BESIDES requests are sent concurrently; others wait. The request that
    finds an idle connection needs neither a handshake nor DNS. `lookup` replaces the system's
    resolver.
    """

    def __init__(self, settings: VCenterSettings, *, lookup: Lookup = system_lookup) -> None:
        self._settings = settings
        address = split_vcenter_url(settings.url)
        self._host = _ascii(address.host)
        self._port = address.port or PORTS[address.scheme]
        self._is_tls = address.scheme == "https"
        named = address._replace(host=self._host.rstrip(".")).url.partition("://")[2]
        self._writer = RequestWriter({"host": named, **DEFAULT_HEADERS})
        self._verification = Verification(settings)
        self._resolver = RememberingResolver(lookup)
        self._slots = asyncio.Semaphore(settings.max_in_flight + BESIDES)
        self._shared = Shared()
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._uploads: UploadTransport | None = None

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request; see Transport.

        The timeout includes waiting for others' large bodies, which are read one at a time.
        """
        try:
            request = self._writer.write(method, path, headers, body)
        except ValueError as error:
            raise ConnectFailed(describe_error(error)) from None
        if self._is_tls and self._verification.trust is None:
            await self._verification.read()
        await self._slots.acquire()
        try:
            # Waiting for other requests of our own says nothing about the server.
            loop = asyncio.get_running_loop()
            until = loop.time() + timeout
            connection = self._take_idle()
            if connection is None:
                async with asyncio.timeout_at(until):
                    connection = await self._connect(loop)
            try:
                reply = await connection.exchange(request, until)
            except BaseException:
                connection.abort()
                raise
            self._give_back(connection, loop)
            if reply.body and (encoding := reply.headers.get("content-encoding")) is not None:
                reply = reply._replace(body=await decompress(reply.body, encoding))
                if loop.time() > until:
                    raise TimeoutError
            return reply
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout:.3g} s") from None
        finally:
            self._slots.release()

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send content by PUT; see UploadTransport."""
        if self._uploads is None:
            from keepalived.vcenter.aiohttp_transport import AiohttpTransport

            self._uploads = AiohttpTransport(self._settings, None, self._resolver)
        return await self._uploads.put(url, headers, content, size)

    async def close(self) -> None:
        """Close all connections. A later request opens a new one."""
        self._drop_idle()
        connections = tuple(self._open)
        for connection in connections:
            connection.abort()
        if connections:
            await asyncio.wait([each.lost for each in connections], timeout=_CLOSING_SECONDS)
        uploads, self._uploads = self._uploads, None
        if uploads is not None:
            await uploads.close()
        await self._resolver.close()

    # Connections

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
        return None

    def _give_back(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        if not connection.is_reusable or connection.trust is not self._verification.trust:
            connection.abort()
            return
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_SECONDS, self._close_unused, loop)

    def _close_unused(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close connections that were unused for long; the most recently used are reused first."""
        now, self._sweep = loop.time(), None
        while self._idle and now - self._idle[0].idle_since >= IDLE_SECONDS:
            self._idle.popleft().abort()
        if self._idle:
            when = self._idle[0].idle_since + IDLE_SECONDS
            self._sweep = loop.call_at(when, self._close_unused, loop)

    def _drop_idle(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._idle:
            self._idle.pop().abort()

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Return a new connection to a server that is trusted. Raises ConnectFailed."""
        addresses = await self._resolve()
        trust = await self._verification.read() if self._is_tls else None
        try:
            try:
                connection = await self._connect_to_any(loop, addresses, trust)
            except ssl.SSLCertVerificationError:
                if trust is None or not self._verification.fall_back(trust):
                    raise
                trust = await self._verification.read()
                connection = await self._connect_to_any(loop, addresses, trust)
        except (ssl.SSLError, UnpinnedError) as error:
            # The trusted files may have been replaced since they were read: read them again.
            self._verification.forget()
            self._drop_idle()
            raise ConnectFailed(self._describe(error)) from None
        except (OSError, RuntimeError) as error:
            raise failure(error, self._describe(error)) from None
        connection.trust = trust
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    def _describe(self, error: Exception) -> str:
        if isinstance(error, UnpinnedError):
            return str(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            return not_trusted(error)
        return cannot_connect(f"{self._host}:{self._port}", error)

    async def _resolve(self) -> Addresses:
        try:
            return await self._resolver.resolve(self._host, self._port)
        except OSError as error:
            words = cannot_resolve(f"the name {self._host}")
            raise failure(error, words, is_lookup=True) from None
        except ValueError as error:
            raise ConnectFailed(describe_error(error)) from None

    async def _connect_to_any(
        self, loop: asyncio.AbstractEventLoop, addresses: Addresses, trust: Trust | None
    ) -> Connection:
        """Try addresses until one has a server that is trusted; raise the last one's error, or of
        several the last of a server that was there."""
        refused: Exception | None = None
        while True:
            try:
                sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
            except (OSError, RuntimeError) as error:  # uvloop raises either
                raise refused or error from None
            peer = _peer_of(sock)
            try:
                # From here on, the socket belongs to the loop, which closes it.
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._shared),
                    sock=sock,
                    ssl=None if trust is None else trust.context,
                    server_hostname=None if trust is None else self._host.rstrip("."),
                )
                if trust is not None:
                    _check(connection, trust)
                return connection
            except (OSError, UnpinnedError) as error:
                others = [each for each in addresses if each[4] != peer]
                if len(others) in (0, len(addresses)):
                    raise
                refused, addresses = error, others


def _check(connection: Connection, trust: Trust) -> None:
    """Raise UnpinnedError, and close the connection, unless the server's certificate is trusted."""
    try:
        trust.check(connection.transport.get_extra_info("ssl_object"))
    except UnpinnedError:
        connection.abort()
        raise


def _peer_of(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:  # It has broken already.
        return None


def _ascii(host: str) -> str:
    """Return a host's name as DNS has it; one that cannot be in DNS is returned unchanged."""
    if host.endswith(".."):
        host = host.rstrip(".") + "."
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host
