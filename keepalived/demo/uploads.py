"""Perform the demo's uploads: item, session, checksum, transfer, queue, completion."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp

FAILURE = "the datastore is full"
"""The error message of the upload that fails on the server."""

_ITEMS = "/api/content/library/item"
_TOKEN = "vmware-api-session-id"  # noqa: S105 - the header's name
_PIECES = 16
_TRANSFER_SECONDS = 2.0


class Scenario(StrEnum):
    """What happens to an upload in the demonstration."""

    KEPT = "kept"
    """The daemon holds its session, and it completes."""
    UNKEPT = "unkept"
    """Its session has no hold."""
    CANCELED = "canceled"
    """Another client cancels its session, halfway through its transfer."""
    FAILED = "failed"
    """The server fails its session, halfway through its transfer."""


@dataclass
class DemoUpload:
    """The plan and progress of one upload. Times are in seconds, sizes in bytes.

    `checksum` is the uploader's pause before the transfer, and `queue` its pause before it
    completes the session. `trouble` is the reason for a failure.
    """

    name: str
    scenario: Scenario
    size: int
    checksum: float
    queue: float
    doing: str = "waiting"
    session_id: str = ""
    item_id: str = ""
    sent: int = 0
    trouble: str = ""
    is_complete: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether the uploader has finished."""
        return self.is_complete or bool(self.trouble)

    def now(self, doing: str) -> None:
        """Record the current activity."""
        self.doing = doing
        self.changed.set()


class UploadFailed(Exception):
    """The server refused a step; the message names the step and the answer."""


class DemoClient:
    """Sends JSON requests with one login. Raises aiohttp.ClientError if no answer arrives."""

    def __init__(self, http: aiohttp.ClientSession, username: str, password: str) -> None:
        self.http = http
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._login = {"authorization": f"Basic {pair}"}

    async def log_in(self) -> int:
        """Log in, or log in again, and return the status of the answer."""
        self.http.headers.pop(_TOKEN, None)
        status, token = await self.ask("POST", "/api/session", headers=self._login)
        if status < 400:
            self.http.headers[_TOKEN] = token
        return status

    async def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return the status and the JSON of the answer."""
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if await answer.read() else None


class Uploader:
    """Performs uploads over HTTP on the simulated vCenter."""

    def __init__(self, client: DemoClient) -> None:
        self._client = client
        self._library_id = ""

    async def start(self) -> None:
        """Log in and create the library. Raises UploadFailed."""
        if (status := await self._client.log_in()) >= 400:
            raise UploadFailed(f"logging in: HTTP {status}")
        library = {"name": "Templates", "type": "LOCAL"}
        self._library_id = await self._call("POST", "/api/content/local-library", library)

    async def open(self, upload: DemoUpload) -> None:
        """Create the item and its update session. A failure is recorded in `upload.trouble`."""
        with _recording_errors(upload):
            item = {"name": upload.name, "library_id": self._library_id}
            upload.item_id = await self._call("POST", _ITEMS, item)
            body = {"library_item_id": upload.item_id}
            upload.session_id = await self._call("POST", f"{_ITEMS}/update-session", body)
            upload.now("opened")

    async def carry_out(self, upload: DemoUpload) -> None:
        """Perform the remaining steps. A failure is recorded in `upload.trouble`."""
        session = f"{_ITEMS}/update-session/{upload.session_id}"
        with _recording_errors(upload):
            upload.now("checksumming")
            await asyncio.sleep(upload.checksum)
            file = {"name": "disk.vmdk", "source_type": "PUSH", "size": upload.size}
            added = await self._call("POST", f"{session}/file", file)
            upload.now("transferring")
            await self._put(added["upload_endpoint"]["uri"], upload)
            upload.now("queueing")
            await asyncio.sleep(upload.queue)
            await self._call("POST", f"{session}?action=complete", {})
            upload.is_complete = True
            upload.now("complete")

    async def end_halfway(self, upload: DemoUpload) -> None:
        """Cancel or fail an upload's session with a second login, once half of it is sent."""
        while upload.sent < upload.size // 2 and not upload.is_over:
            upload.changed.clear()
            await upload.changed.wait()
        if upload.is_over:
            return
        action = "cancel" if upload.scenario is Scenario.CANCELED else "fail"
        body = {} if action == "cancel" else {"client_error_message": FAILURE}
        path = f"{_ITEMS}/update-session/{upload.session_id}?action={action}"
        with suppress(UploadFailed, aiohttp.ClientError):  # the findings will show it
            await self._call("POST", path, body)

    async def item(self, upload: DemoUpload) -> dict[str, Any]:
        """Return the item from the server, or an empty dictionary if it is unknown there."""
        with suppress(UploadFailed, aiohttp.ClientError):
            return dict(await self._call("GET", f"{_ITEMS}/{upload.item_id}"))
        return {}

    async def _put(self, uri: str, upload: DemoUpload) -> None:
        try:
            async with self._client.http.put(uri, data=_pieces(upload)) as answer:
                status = answer.status
        except aiohttp.ClientError:
            # If the server refuses a PUT midway, the connection may close before the answer.
            raise UploadFailed("the transfer was cut off") from None
        if status >= 400:
            raise UploadFailed(f"the transfer was refused: HTTP {status}")

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        status, reply = await self._client.ask(method, path, body)
        if status >= 400:
            kind = reply.get("error_type", "") if isinstance(reply, dict) else ""
            raise UploadFailed(f"{_step(path)}: HTTP {status} {kind}".rstrip())
        return reply


@asynccontextmanager
async def uploading(url: str, username: str, password: str) -> AsyncIterator[Uploader]:
    """Yield a logged-in uploader with its own library. Raises UploadFailed."""
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        uploader = Uploader(DemoClient(http, username, password))
        await uploader.start()
        yield uploader


@contextmanager
def _recording_errors(upload: DemoUpload) -> Iterator[None]:
    """Record errors in the block as the upload's `trouble`."""
    try:
        yield
    except (UploadFailed, aiohttp.ClientError) as error:
        upload.trouble = str(error) or type(error).__name__
        upload.now("failed")


async def _pieces(upload: DemoUpload) -> AsyncIterator[bytes]:
    """Yield the content piece by piece, at the planned pace."""
    piece = bytes(upload.size // _PIECES)
    for _ in range(_PIECES):
        yield piece
        upload.sent += len(piece)
        upload.changed.set()
        await asyncio.sleep(_TRANSFER_SECONDS / _PIECES)


def _step(path: str) -> str:
    if path.endswith("/file"):
        return "adding the file"
    return {"complete": "completing"}.get(path.rpartition("action=")[2], "a request")
