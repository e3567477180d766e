"""Uploads with gaps, as caused by checksums and queues: real PUTs, and an uploader that retries.

Only the keepers are compared, so the uploader does everything else right: it retries failed
requests, logs in again, and restarts broken transfers. It gives up when the server reports that the
session is gone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from keepalived.demo.uploads import DemoClient
from keepalived.simulator.app import Simulator
from keepalived.simulator.resources import SessionEvent

_API = "/api/content/library/item/update-session"
_NAME = "disk.vmdk"
_PIECE = 4096
_PIECES_PER_LIFETIME = 8
_AGAIN_SECONDS = 0.2
_ANSWER_SHARE = 0.5
_UNAUTHENTICATED = 401
_GONE = 404
_REFUSED = 400


class Script(NamedTuple):
    """The start and end of an upload's transfer, in lifetimes since its session was opened.

    Before the transfer it computes checksums; afterwards it waits in a queue until it is completed.
    """

    begins: float
    ends: float


COMPLETES = 3.3
"""When every upload is completed, in lifetimes since its session was opened."""

SCRIPTS = (
    Script(3.0, 3.25),  # a long checksum
    Script(0.2, 0.4),  # a long queue
    Script(1.45, 1.6),  # some of both
    Script(0.2, 3.0),  # a slow transfer
)


@dataclass
class Upload:
    """One upload: its session, its item, and its progress."""

    script: Script
    session_id: str
    item_id: str
    trouble: str = ""


class SessionGone(Exception):
    """The server no longer knows the session; the message names the step."""


class Uploader:
    """Carries out uploads over HTTPS, with its own login. `lifetime` is in seconds."""

    def __init__(
        self, simulator: Simulator, url: str, tls: ssl.SSLContext, lifetime: float
    ) -> None:
        self._simulator = simulator
        self._url = url
        self._lifetime = lifetime
        self._tls = tls
        self._client: DemoClient

    async def __aenter__(self) -> Uploader:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_ANSWER_SHARE * self._lifetime)
        jar = aiohttp.DummyCookieJar()
        connector = aiohttp.TCPConnector(ssl=self._tls)
        http = aiohttp.ClientSession(
            self._url, connector=connector, cookie_jar=jar, timeout=timeout
        )
        self._client = DemoClient(http, self._simulator.username, self._simulator.password)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.http.close()

    def open(self, script: Script) -> Upload:
        """Open a session on a new item, without a request."""
        session = self._simulator.library.open_session(self._simulator.username)
        return Upload(script, session.id, session.item_id)

    async def carry_out(self, upload: Upload, opened_at: float) -> None:
        """Transfer and complete; `opened_at` is on the loop's clock. Errors are recorded."""

        def at(lifetimes: float) -> float:
            return opened_at + lifetimes * self._lifetime

        try:
            await _until(at(upload.script.begins))
            await self._transfer(upload, at(upload.script.ends))
            await _until(at(COMPLETES))
            await self._call("POST", f"{_API}/{upload.session_id}?action=complete", {})
        except SessionGone as gone:
            upload.trouble = str(gone)

    async def _transfer(self, upload: Upload, ends_at: float) -> None:
        """PUT the content piece by piece until `ends_at`, restarting broken transfers."""
        session = f"{_API}/{upload.session_id}"
        while True:
            file = {"name": _NAME, "source_type": "PUSH"}
            added = await self._call("POST", f"{session}/file", file)
            # The simulator returns URLs with the address that the caller used.
            uri = added["upload_endpoint"]["uri"]
            pieces = _pieces(ends_at, self._lifetime / _PIECES_PER_LIFETIME)
            try:
                async with self._client.http.put(uri, data=pieces) as answer:
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            if 200 <= status < 300:
                return
            if status == _GONE:
                raise SessionGone("the transfer was refused: the session is gone")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _call(self, method: str, path: str, body: object) -> Any:
        while True:
            status, reply = await self._ask(self._client.ask(method, path, body))
            if 200 <= status < 300:
                return reply
            if status == _UNAUTHENTICATED:
                await self._ask(self._log_in())
            elif status == _GONE:
                raise SessionGone(f"{path.rpartition('/')[2]}: the session is gone")
            elif status == _REFUSED and path.endswith("complete"):
                # An answer was lost: the session is complete, or the item shows that it is not.
                return reply
            else:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _log_in(self) -> tuple[int, Any]:
        return await self._client.log_in(), None

    async def _ask(self, asking: Coroutine[Any, Any, tuple[int, Any]]) -> tuple[int, Any]:
        """Return status and JSON of one request; status 0 without an answer."""
        try:
            async with asyncio.timeout(_ANSWER_SHARE * self._lifetime):
                return await asking
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, None


def arrived(upload: Upload, simulator: Simulator) -> bool:
    """Whether the server received the content: by its ledger and the item's version."""
    item = simulator.library.catalog.item(upload.item_id)
    if item.content_version == 1:
        return False
    return simulator.ledger.session(upload.session_id).ended is SessionEvent.COMPLETED


async def _until(time: float) -> None:
    await asyncio.sleep(max(0.0, time - asyncio.get_running_loop().time()))


async def _pieces(ends_at: float, pause: float) -> AsyncIterator[bytes]:
    now = asyncio.get_running_loop().time
    yield bytes(_PIECE)
    while now() + pause < ends_at:
        await asyncio.sleep(pause)
        yield bytes(_PIECE)
