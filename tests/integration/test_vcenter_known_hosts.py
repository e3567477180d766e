"""Certificates that the authorities do not vouch for, and a line of govc's known hosts does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.vcenter.http import HttpTransport
from keepalived.vcenter.transport import ConnectFailed
from tests.support.peers import NO_CONTENT, Scripted, listening, sha256_of, tls_with
from tests.support.transports import transport_at


@asynccontextmanager
async def transport_to(certificate: Path, **settings: Any) -> AsyncIterator[HttpTransport]:
    scripted = Scripted([NO_CONTENT])
    async with (
        listening(scripted, tls=tls_with(certificate)) as port,
        transport_at(f"https://127.0.0.1:{port}", **settings) as transport,
    ):
        yield transport


async def status(transport: HttpTransport) -> int:
    return (await transport.send("GET", "/", {}, b"", 30.0)).status


async def test_a_known_certificate_needs_no_authority(certificate: Path) -> None:
    known = (sha256_of(certificate),)
    async with transport_to(certificate, known_fingerprints=known) as transport:
        # All of them begin with the authorities.
        assert await asyncio.gather(*(status(transport) for _ in range(4))) == [204] * 4
        assert await status(transport) == 204


async def test_a_stale_line_does_no_harm_where_an_authority_vouches(certificate: Path) -> None:
    stale = ("ab" * 32,)
    async with transport_to(
        certificate, ca_file=certificate, known_fingerprints=stale
    ) as transport:
        assert await status(transport) == 204


async def test_a_certificate_that_neither_vouches_for(certificate: Path) -> None:
    async with transport_to(certificate, known_fingerprints=("ab" * 32,)) as transport:
        for _ in range(2):
            with pytest.raises(ConnectFailed, match="not one of the pinned ones"):
                await status(transport)
