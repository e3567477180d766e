"""A vCenter that is reached directly is kept alive by a process that never imports aiohttp."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.peers import NO_CONTENT, Scripted, listening, tls_with
from tests.support.transports import LOGGED_IN

_KEEP_ALIVE = """
import asyncio
import sys

from keepalived.vcenter.connect import connect
from keepalived.host.clock import SystemClock
from keepalived.lease.model import Kind
from keepalived.settings import VCenterSettings
from keepalived.validation import validate

async def main(url, ca_file):
    fields = {"url": url, "username": "somebody", "password_env": "HOME"}
    if ca_file:
        fields["ca_file"] = ca_file
    client = connect("lab", validate(VCenterSettings, fields), SystemClock())
    answer = await client.keep_alive(Kind.UPDATE, "a", None, timeout=30.0)
    await client.close(timeout=30.0)
    print(answer.outcome.name, "aiohttp" in sys.modules)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_direct_vcenter_needs_no_aiohttp(scheme: str, certificate: Path) -> None:
    is_tls = scheme == "https"
    server = Scripted([LOGGED_IN, NO_CONTENT])
    async with listening(server, tls=tls_with(certificate) if is_tls else None) as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _KEEP_ALIVE),
            *(f"{scheme}://127.0.0.1:{port}", str(certificate) if is_tls else ""),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert out.decode().split() == ["OK", "False"]
    assert [request.split(" ")[0] for request in server.requests] == ["POST", "POST", "DELETE"]
