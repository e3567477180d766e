"""Serve the page: build it in slices, cache it briefly, and restrict it by its headers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from prometheus_client.exposition import gzip_accepted

from keepalived.host.slices import run_in_slices
from keepalived.keeper.snapshot import Snapshot

if TYPE_CHECKING:
    # Imported when a page is requested: most daemons serve none.
    from keepalived.observe.page.view_model import DaemonView, PageContent

KEPT_SECONDS = 1.0
"""How long a built page is served: it is built at most once a second, for any number of readers."""

_REST = 4
"""Minimum time for which a page is served, as a multiple of its build time. With many sessions the
page gets older, but the daemon no busier."""

_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "page.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class StatusPage:
    """Serves the page at `/`, and the files that it uses.

    `snapshot` and `daemon` are called in the event loop, at most once in KEPT_SECONDS.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], daemon: Callable[[], DaemonView]) -> None:
        self._snapshot = snapshot
        self._daemon = daemon
        self._building = asyncio.Lock()
        self._fresh_until = float("-inf")
        self._page = (b"", b"")

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/", self._get_page)
        for name in _FILES:
            router.add_get(f"/{name}", self._get_file)

    async def _get_page(self, request: web.Request) -> web.Response:
        from keepalived.observe.page.view_model import collect_content

        loop = asyncio.get_running_loop()
        async with self._building:
            began = loop.time()
            if began >= self._fresh_until:
                content = await run_in_slices(collect_content(self._snapshot(), self._daemon()))
                self._page = await asyncio.to_thread(_build, content)
                built = loop.time()
                self._fresh_until = built + max(KEPT_SECONDS, _REST * (built - began))
        plain, packed = self._page
        headers = {**_HEADERS, "Cache-Control": "no-store", "Vary": "Accept-Encoding"}
        is_packed = gzip_accepted(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())))
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=packed if is_packed else plain,
            content_type="text/html",
            charset="utf-8",
            headers=headers,
        )

    async def _get_file(self, request: web.Request) -> web.Response:
        from importlib.resources import files

        name = request.path.removeprefix("/")
        return web.Response(
            body=await asyncio.to_thread((files("keepalived.observe.page") / name).read_bytes),
            content_type=_FILES[name],
            charset="utf-8",
            headers={**_HEADERS, "Cache-Control": "no-cache"},
        )


def _build(content: PageContent) -> tuple[bytes, bytes]:
    """Return the page, plain and compressed."""
    from keepalived.observe.page.document import document

    page = document(content).encode()
    return page, gzip.compress(page, compresslevel=6)
