"""Upload an image with aiohttp, and keep its session and its token alive during the upload.

    VCENTER_USERNAME=… VCENTER_PASSWORD=… python upload_aiohttp.py URL CA_FILE ITEM_ID FILE

Needs `pip install content-library-keepalived`; aiohttp comes with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

# Imported by name, so that the import does not happen later and block the event loop.
from keepalived import SessionHold, SessionLost, hold

SESSIONS = "/api/content/library/item/update-session"
LIFETIME = float(os.environ.get("SESSION_LIFETIME", "300"))
"""The timeout configured in the Content Library Service, in seconds; 300 by default."""


async def reading(path: Path, size: int, held: SessionHold) -> AsyncIterator[bytes]:
    """Yield the pieces of a file, and report the progress."""
    done = 0
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, 1 << 20):
            yield piece
            done += len(piece)
            held.progress(done, size)


def measure(path: Path) -> tuple[int, str]:
    """Return a file's size and its SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


async def upload(url: str, ca_file: str, item_id: str, path: Path) -> None:
    tls = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_file))
    async with aiohttp.ClientSession(url, connector=tls, raise_for_status=True) as http:
        user = f"{os.environ['VCENTER_USERNAME']}:{os.environ['VCENTER_PASSWORD']}"
        login = {"authorization": f"Basic {b64encode(user.encode()).decode()}"}
        async with http.post("/api/session", headers=login) as answer:
            token = await answer.json()
        mine = {"vmware-api-session-id": token}
        item = {"library_item_id": item_id}
        async with http.post(SESSIONS, headers=mine, json=item) as answer:
            session_id = await answer.json()

        async with hold(
            url, session_id, token=token, ca_file=ca_file, session_timeout=LIFETIME
        ) as held:
            held.on_end(lambda end: print(f"ended as {end.state}"))
            size, digest = await asyncio.to_thread(measure, path)
            print(path.name, digest, flush=True)
            file = {"name": path.name, "source_type": "PUSH", "size": size}
            async with http.post(
                f"{SESSIONS}/{session_id}/file", headers=mine, json=file
            ) as answer:
                target = (await answer.json())["upload_endpoint"]["uri"]
            length = {"Content-Length": str(size)}
            await http.put(target, headers={**mine, **length}, data=reading(path, size, held))
            await http.post(f"{SESSIONS}/{session_id}?action=complete", headers=mine, json={})
        await http.delete("/api/session", headers=mine)


if __name__ == "__main__":
    try:
        asyncio.run(upload(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
    except SessionLost as lost:
        sys.exit(f"the content did not arrive: {lost}")
