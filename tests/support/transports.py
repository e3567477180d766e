"""The transports to servers that are written by hand, and a client above them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keepalived.host.clock import SystemClock
from keepalived.settings import VCenterSettings
from keepalived.validation import validate
from keepalived.vcenter.aiohttp_transport import AiohttpTransport
from keepalived.vcenter.client import Client
from keepalived.vcenter.connect import build_transport
from keepalived.vcenter.direct import DirectTransport
from keepalived.vcenter.resolver import Addresses, Lookup, RememberingResolver, system_lookup
from keepalived.vcenter.transport import Reply, Transport, TransportError, UploadTransport
from tests.support.peers import Proxy, Serve, answer, listening, tls_with

LOGGED_IN = answer(b'"T0KEN-0123456789"', "201 Created")
_TOKEN = {"vmware-api-session-id": "T0KEN-0123456789"}

WAYS = ("direct", "proxy")
"""With connections of our own, and with aiohttp's client session through a proxy."""


class Names:
    """Knows every name as this machine, until it fails."""

    fails = False

    async def __call__(self, host: str, port: int) -> Addresses:
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the ways, over http, or over https where servers have a certificate."""

    way: str
    certificate: Path | None

    def listening(self, serve: Serve) -> AbstractAsyncContextManager[int]:
        """Serve connections while the block is open; yield the port."""
        return listening(
            serve, tls=None if self.certificate is None else tls_with(self.certificate)
        )

    @asynccontextmanager
    async def transport(
        self, port: int, *, host: str = "127.0.0.1", lookup: Lookup = system_lookup, **more: Any
    ) -> AsyncIterator[UploadTransport]:
        """Yield a transport to a port of this machine."""
        async with self._proxy() as proxy:
            transport = self._build(self._settings(port, host, more), proxy, lookup)
            try:
                yield transport
            finally:
                await transport.close()

    @asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[Client]:
        """Yield a client with credentials, of a vCenter at a port of this machine."""
        more = {"username": "somebody", "password_env": "HOME"}
        settings = self._settings(port, "127.0.0.1", more)
        async with self._proxy() as proxy:
            transport = self._build(settings, proxy, system_lookup)
            client = Client("lab", settings, transport, SystemClock())
            try:
                yield client
            finally:
                await client.close(timeout=1.0)

    @asynccontextmanager
    async def _proxy(self) -> AsyncIterator[str | None]:
        if self.way != "proxy":
            yield None
            return
        async with listening(Proxy()) as at:
            yield f"http://127.0.0.1:{at}"

    def _settings(self, port: int, host: str, more: dict[str, Any]) -> VCenterSettings:
        trust: dict[str, Any] = {}
        if self.certificate is not None and "insecure" not in more:
            trust = {"ca_file": self.certificate}
        scheme = "http" if self.certificate is None else "https"
        return validate(VCenterSettings, {"url": f"{scheme}://{host}:{port}", **trust, **more})

    def _build(
        self, settings: VCenterSettings, proxy: str | None, lookup: Lookup
    ) -> DirectTransport | AiohttpTransport:
        if self.way == "direct":
            return DirectTransport(settings, lookup=lookup)
        return AiohttpTransport(settings, proxy, RememberingResolver(lookup))


@asynccontextmanager
async def transport_at(url: str, **settings: Any) -> AsyncIterator[UploadTransport]:
    """Yield the transport that a configuration makes."""
    transport = build_transport(validate(VCenterSettings, {"url": url, **settings}))
    try:
        yield transport
    finally:
        await transport.close()


async def post(transport: Transport, path: str = "/x", timeout: float = 5.0) -> Reply:
    """Send a request with a token."""
    return await transport.send("POST", path, _TOKEN, b"{}", timeout)


async def failure(transport: Transport, timeout: float = 5.0) -> TransportError:
    """Send a request that fails, and return how, which is without the token."""
    with pytest.raises(TransportError) as caught:
        await post(transport, timeout=timeout)
    assert "T0KEN" not in str(caught.value)
    return caught.value
