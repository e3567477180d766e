"""Builds and runs vcsim, govmomi's vCenter simulator, from Debian's packages."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp

SOURCE = Path(__file__).with_name("vcsim")
GOPATH = Path("/usr/share/gocode")
CONTENT = "/rest/com/vmware/content"
UPDATE_SESSION = f"{CONTENT}/library/item/update-session"
LOGIN = "/rest/com/vmware/cis/session"
USERNAME, PASSWORD = "uploader", "vcsim takes any"
LOGIN_HEADER = aiohttp.encode_basic_auth(USERNAME, PASSWORD)


def missing() -> str:
    """Name what the build lacks, or return an empty string."""
    if shutil.which("go") is None:
        return "Debian's golang-go"
    if not (GOPATH / "src/github.com/vmware/govmomi").is_dir():
        return "Debian's golang-github-vmware-govmomi-dev"
    return ""


def build(binary: Path, source: Path = SOURCE) -> None:
    """Compile vcsim, or another program beside it; Go's own cache makes the second time quick."""
    subprocess.run(
        ["go", "build", "-o", str(binary), "."],
        cwd=source,
        env={**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPATH": str(GOPATH)},
        check=True,
    )


class Reply(NamedTuple):
    status: int
    text: str

    @property
    def value(self) -> object:
        """The value of a success, or ValueError: vcsim's errors are no JSON."""
        return json.loads(self.text)["value"]


@dataclass(frozen=True, slots=True)
class VCSim:
    """A running vcsim, as an uploader with a login for each request sees it."""

    url: str
    fingerprint: str
    datastore: str
    http: aiohttp.ClientSession

    def configure(self, file: Path, session_timeout: float) -> None:
        """Write a configuration with this vCenter, whose password is in GOVC_PASSWORD."""
        settings = {
            "url": self.url,
            "username": USERNAME,
            "password_env": "GOVC_PASSWORD",
            "fingerprints": [self.fingerprint],
            "session_timeout": session_timeout,
        }
        file.write_text(json.dumps({"vcenters": {"lab": settings}}))

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Send one request, by the token of a new login unless `headers` say otherwise."""
        headers = headers or {"vmware-api-session-id": await self.log_in()}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as got:
            return Reply(got.status, await got.text())

    async def log_in(self) -> str:
        """Return a new token."""
        headers = {"vmware-use-header-authn": "true", "Authorization": LOGIN_HEADER}
        return str((await self.send("POST", LOGIN, **headers)).value)

    async def call(self, method: str, path: str, body: object = None) -> object:
        """Send one request that must succeed, and return the value in its answer."""
        reply = await self.send(method, path, body)
        assert reply.status == 200, reply
        return reply.value if reply.text else None

    async def new_item(self, library_name: str = "", item_name: str = "an appliance") -> str:
        """Make a library with an item in it. Returns the item's id."""
        backing = {"type": "DATASTORE", "datastore_id": self.datastore}
        library = {"name": library_name or f"library {uuid.uuid4()}", "type": "LOCAL"}
        library_id = await self.call(
            "POST",
            f"{CONTENT}/local-library",
            {"create_spec": {**library, "storage_backings": [backing]}},
        )
        item_id = await self.call(
            "POST",
            f"{CONTENT}/library/item",
            {"create_spec": {"library_id": library_id, "name": item_name, "type": "ovf"}},
        )
        assert isinstance(item_id, str)
        return item_id

    async def open_session(self) -> str:
        """Make a library, an item and an update session for it. Returns the session's id."""
        item_id = await self.new_item()
        session_id = await self.call(
            "POST", UPDATE_SESSION, {"create_spec": {"library_item_id": item_id}}
        )
        assert isinstance(session_id, str)
        return session_id

    async def act(self, session_id: str, action: str) -> None:
        """Cancel, complete, fail or keep alive a session."""
        await self.call("POST", f"{UPDATE_SESSION}/id:{session_id}?~action={action}")

    async def delete(self, session_id: str) -> None:
        await self.call("DELETE", f"{UPDATE_SESSION}/id:{session_id}")

    async def state(self, session_id: str) -> str:
        session = await self.call("GET", f"{UPDATE_SESSION}/id:{session_id}")
        assert isinstance(session, dict)
        return str(session["state"])


@asynccontextmanager
async def running(
    binary: Path, *, idle_timeout: str = "30m", transfer: str = "0s"
) -> AsyncIterator[VCSim]:
    """Run vcsim until the block is left.

    `idle_timeout` and `transfer`, what the content of each file takes, are Go durations.
    """
    process = await asyncio.create_subprocess_exec(
        str(binary),
        f"-idle-timeout={idle_timeout}",
        f"-transfer={transfer}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            told = json.loads(await process.stdout.readline())
        # Go's built-in test certificate has a key too short to be verified.
        trust = aiohttp.Fingerprint(bytes.fromhex(told["fingerprint"]))
        connector = aiohttp.TCPConnector(ssl=trust)
        cookies = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies) as http:
            yield VCSim(told["url"], told["fingerprint"], told["datastore"], http)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
