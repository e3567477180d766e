"""Connects to a vCenter: chooses the way, direct or through a proxy, and wires the client."""

from __future__ import annotations

from keepalived.host.clock import Clock
from keepalived.lease.events import Listener, LoginTried
from keepalived.settings import VCenterSettings
from keepalived.vcenter.client import Client
from keepalived.vcenter.direct import DirectTransport
from keepalived.vcenter.proxies import proxy_for
from keepalived.vcenter.transport import Transport, UploadTransport


def connect(
    name: str,
    settings: VCenterSettings,
    clock: Clock,
    transport: Transport | None = None,
    listener: Listener | None = None,
) -> Client:
    """Return a client of one vCenter, which connects and logs in at its first request.

    `listener` is notified of logins.
    """

    def on_login(outcome: str) -> None:
        if listener is not None:
            listener.notify(LoginTried(name, outcome))

    return Client(name, settings, transport or build_transport(settings), clock, on_login=on_login)


def build_transport(settings: VCenterSettings) -> UploadTransport:
    """Return the transport to a vCenter; nothing is opened before the first request."""
    proxy = proxy_for(settings)
    if proxy is None:
        return DirectTransport(settings)
    # aiohttp takes a quarter of a second to import, and is only needed here.
    from keepalived.vcenter.aiohttp_transport import AiohttpTransport

    return AiohttpTransport(settings, proxy)
