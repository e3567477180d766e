"""Checks the Host header of a listener on loopback: the guard against DNS rebinding.

A page on the web can make its own host name resolve to 127.0.0.1, and then read what this
machine's browser may read there. It cannot make the browser send another host name.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from keepalived.settings.values import is_loopback

REFUSAL = (
    "This listener is on loopback and accepts only localhost or a loopback address as Host.\n"
    "A reverse proxy in front of it must send the header: Host: localhost\n"
)


def names_loopback(host: str) -> bool:
    """Whether the value of a Host header, with or without a port, is a name of this machine."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  # urlsplit validates the port on access
    except ValueError:
        return False
    is_host_alone = parts.netloc == host and parts.username is None
    return is_host_alone and parts.hostname is not None and is_loopback(parts.hostname)


@web.middleware
async def loopback_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 421 to requests for a host other than this machine."""
    # Every browser sends the header; a program that sends none is not driven by a web page.
    host = request.headers.get("Host")
    if host is not None and not names_loopback(host):
        return web.Response(status=421, text=REFUSAL)
    return await handler(request)
