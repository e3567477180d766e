"""Uploads as people make them: a login, an item, a session, a checksum, a transfer, a queue."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp

ITEMS = "/api/content/library/item"
PIECES = 16


class Fate(StrEnum):
    """What happens to an upload in this play."""

    KEPT = "kept"
    """It is held by the daemon, and completes."""
    UNKEPT = "unkept"
    """Nobody holds it."""
    CANCELED = "canceled"
    """Somebody cancels its session on the server, halfway through."""
    FAILED = "failed"
    """The server gives up on it, halfway through."""


@dataclass
class Upload:
    """One upload: what is planned, and how far it has come. Times are seconds.

    `checksum` is how long the uploader is silent before the transfer, and `queue` before it says
    that the upload is complete.
    """

    name: str
    fate: Fate
    size: int
    checksum: float
    queue: float
    doing: str = "waiting to start"
    session_id: str = ""
    item_id: str = ""
    sent: int = 0
    trouble: str = ""
    is_complete: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def now(self, doing: str) -> None:
        """Note what is going on."""
        self.doing = doing
        self.changed.set()


class UploadFailed(Exception):
    """The server refused a step; the message says which and how."""


class Uploader:
    """Carries uploads out over HTTP against the simulated vCenter."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._login = {"authorization": f"Basic {pair}"}
        self._http: aiohttp.ClientSession
        self._library_id = ""

    async def __aenter__(self) -> Uploader:
        self._http = aiohttp.ClientSession(self._url, cookie_jar=aiohttp.DummyCookieJar())
        token = await self._call("POST", "/api/session", headers=self._login)
        self._http.headers["vmware-api-session-id"] = token
        self._library_id = await self._call(
            "POST", "/api/content/local-library", {"name": "Templates", "type": "LOCAL"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def open(self, upload: Upload) -> None:
        """Create the item and its update session."""
        item = {"name": upload.name, "library_id": self._library_id}
        upload.item_id = await self._call("POST", ITEMS, item)
        body = {"library_item_id": upload.item_id}
        upload.session_id = await self._call("POST", f"{ITEMS}/update-session", body)
        upload.now("session opened")

    async def carry_out(self, upload: Upload) -> None:
        """Do the rest. What goes wrong ends up in `upload.trouble`."""
        session = f"{ITEMS}/update-session/{upload.session_id}"
        try:
            upload.now("computing a checksum")
            await asyncio.sleep(upload.checksum)
            file = {"name": "disk.vmdk", "source_type": "PUSH", "size": upload.size}
            added = await self._call("POST", f"{session}/file", file)
            upload.now("transferring")
            await self._put(added["upload_endpoint"]["uri"], upload)
            upload.now("waiting in a queue")
            await asyncio.sleep(upload.queue)
            await self._call("POST", f"{session}?action=complete", {})
        except UploadFailed as error:
            upload.trouble = str(error)
            upload.now("failed")
        else:
            upload.is_complete = True
            upload.now("complete")

    async def end_by_force(self, upload: Upload) -> None:
        """Do to the session what its fate says."""
        action = "cancel" if upload.fate is Fate.CANCELED else "fail"
        body = {} if action == "cancel" else {"client_error_message": "the datastore is full"}
        path = f"{ITEMS}/update-session/{upload.session_id}?action={action}"
        await self._call("POST", path, body)

    async def item(self, upload: Upload) -> dict[str, Any]:
        """Return the item as the server knows it."""
        item: dict[str, Any] = await self._call("GET", f"{ITEMS}/{upload.item_id}")
        return item

    async def _put(self, uri: str, upload: Upload) -> None:
        async with self._http.put(uri, data=_pieces(upload)) as answer:
            if answer.status >= 400:
                raise UploadFailed(f"the transfer was refused: HTTP {answer.status}")

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        async with self._http.request(method, path, json=body, headers=headers) as answer:
            said = await answer.json() if await answer.read() else None
            if answer.status >= 400:
                kind = said.get("error_type", "") if isinstance(said, dict) else ""
                raise UploadFailed(
                    f"{_step(path)} was refused: HTTP {answer.status} {kind}".strip()
                )
            return said


async def _pieces(upload: Upload) -> AsyncIterator[bytes]:
    """Send the content piece by piece, over about two seconds."""
    piece = bytes(upload.size // PIECES)
    for number in range(PIECES):
        yield piece
        upload.sent = (number + 1) * len(piece)
        upload.changed.set()
        await asyncio.sleep(2.0 / PIECES)


def _step(path: str) -> str:
    if path.endswith("/file"):
        return "adding the file"
    return {"complete": "completing"}.get(path.rpartition("action=")[2], "a request")
