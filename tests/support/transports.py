"""Transports to hand-written servers, and clients that use them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from keepalived.host.clock import SystemClock
from keepalived.settings import VCenterSettings
from keepalived.validation import validate
from keepalived.vcenter.client import Client
from keepalived.vcenter.http import HttpTransport, build_transport
from keepalived.vcenter.transport import Reply, TransportError
from tests.support.peers import answer

LOGGED_IN = answer(b'"T0KEN-0123456789"', "201 Created")
_TOKEN = {"vmware-api-session-id": "T0KEN-0123456789"}


class Names(AbstractResolver):
    """Resolves every name to this machine, until it is set to fail."""

    fails = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def transport_to(
    port: int, *, host: str = "127.0.0.1", resolver: AbstractResolver | None = None
) -> AsyncIterator[HttpTransport]:
    """Yield a transport to a port of this machine."""
    settings = validate(VCenterSettings, {"url": f"http://{host}:{port}"})
    transport = HttpTransport(settings, resolver=resolver)
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def transport_at(url: str, **settings: Any) -> AsyncIterator[HttpTransport]:
    """Yield the transport of a configuration."""
    transport = build_transport(validate(VCenterSettings, {"url": url, **settings}))
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def client_to(port: int) -> AsyncIterator[Client]:
    """Yield a client with credentials, of a vCenter at a port of this machine."""
    settings = validate(
        VCenterSettings,
        {"url": f"http://127.0.0.1:{port}", "username": "uploader", "password_env": "HOME"},
    )
    client = Client("lab", settings, HttpTransport(settings), SystemClock())
    try:
        yield client
    finally:
        await client.close(timeout=1.0)


async def post(transport: HttpTransport, path: str = "/x", timeout: float = 5.0) -> Reply:
    """Send a request with a token."""
    return await transport.send("POST", path, _TOKEN, b"{}", timeout)


async def failure(transport: HttpTransport, timeout: float = 5.0) -> TransportError:
    """Send a request that fails, and return its error, which does not contain the token."""
    with pytest.raises(TransportError) as caught:
        await post(transport, timeout=timeout)
    assert "T0KEN" not in str(caught.value)
    return caught.value
