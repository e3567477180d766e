"""Chooses the way to a vCenter: direct, or through a proxy."""

from __future__ import annotations

from keepalived.settings import VCenterSettings
from keepalived.vcenter.direct import DirectTransport
from keepalived.vcenter.proxies import proxy_for
from keepalived.vcenter.transport import UploadTransport


def build_transport(settings: VCenterSettings) -> UploadTransport:
    """Return the transport to a vCenter; nothing is opened before the first request."""
    proxy = proxy_for(settings)
    if proxy is None:
        return DirectTransport(settings)
    # aiohttp takes a quarter of a second to import, and is only needed here.
    from keepalived.vcenter.aiohttp_transport import AiohttpTransport

    return AiohttpTransport(settings, proxy)
