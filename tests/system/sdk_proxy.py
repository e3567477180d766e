"""A front end that makes the simulator usable for govc: `/sdk` goes to vcsim, the rest to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from tests.system.vcsim_peer import VCSim

_HOP_BY_HOP = frozenset(
    {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}
)


@asynccontextmanager
async def sdk_proxy(vcsim: VCSim, simulator_url: str) -> AsyncIterator[str]:
    """Serve both under one address, over HTTP, until the block is left. Yields its URL."""
    cookies = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=cookies, auto_decompress=False) as http:

        async def forward(request: web.Request) -> web.StreamResponse:
            is_soap = request.path.startswith("/sdk")
            session, base = (vcsim.http, vcsim.url) if is_soap else (http, simulator_url)
            given = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
            # The simulator takes the address of its uploads from this header.
            given["Host"] = request.host
            body = request.content if request.can_read_body else None
            if request.content_length is not None and body is not None:
                given["Content-Length"] = str(request.content_length)
            async with session.request(
                request.method, base + request.path_qs, headers=given, data=body
            ) as got:
                kept = CIMultiDict(
                    (k, v) for k, v in got.headers.items() if k.lower() not in _HOP_BY_HOP
                )
                return web.Response(status=got.status, body=await got.read(), headers=kept)

        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()
