"""A simulator behind HTTP, and a client that speaks to it as an uploader would."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.simulator import basic

API = "/api/content/library/item"
REST = "/rest/com/vmware/content/library/item"


def write_certificate(path: Path, *names: str) -> Path:
    """Write a certificate for 127.0.0.1, and for `names`, that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated vCenter")])
    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    holders = [loopback, *map(x509.DNSName, names)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(holders), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


class Uploader:
    """A logged-in client; paths are below the simulator's URL."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON (None for no body) of a request."""
        async with self.http.request(method, self.url + path, json=body) as answer:
            return answer.status, await answer.json() if await answer.read() else None

    async def add_file(self, session_id: str, name: str = "disk.vmdk", **spec: object) -> str:
        """Announce a file to push and return the address to put it to."""
        path = f"{API}/update-session/{session_id}/file"
        status, file = await self.call("POST", path, {"name": name, "source_type": "PUSH", **spec})
        assert status == 201, file
        uri: str = file["upload_endpoint"]["uri"]
        return uri


@asynccontextmanager
async def uploader_at(simulator: Simulator) -> AsyncIterator[Uploader]:
    """Serve a simulator, log in to it by HTTP, and yield the client."""
    async with serve(simulator) as url:
        credentials = basic(simulator.username, simulator.password)
        async with (
            aiohttp.ClientSession() as plain,
            plain.post(url + "/api/session", headers=credentials) as answer,
        ):
            assert answer.status == 201
            token = await answer.json()
        jar = aiohttp.DummyCookieJar()
        headers = {"vmware-api-session-id": token}
        async with aiohttp.ClientSession(headers=headers, cookie_jar=jar) as http:
            yield Uploader(http, url)
