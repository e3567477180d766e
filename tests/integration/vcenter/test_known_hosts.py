"""Certificates that the authorities do not vouch for, and a line of govc's known hosts does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.vcenter.transport import ConnectFailed, Transport
from tests.support.peers import NO_CONTENT, Scripted, sha256_of
from tests.support.transports import Lane


@pytest.fixture
def scheme() -> str:
    return "https"


@asynccontextmanager
async def transport_to(lane: Lane, **settings: Any) -> AsyncIterator[Transport]:
    async with (
        lane.listening(Scripted([NO_CONTENT])) as port,
        lane.transport(port, **settings) as transport,
    ):
        yield transport


async def status(transport: Transport) -> int:
    return (await transport.send("GET", "/", {}, b"", 30.0)).status


async def test_a_known_certificate_needs_no_authority(lane: Lane, certificate: Path) -> None:
    known = (sha256_of(certificate),)
    async with transport_to(lane, ca_file=None, known_fingerprints=known) as transport:
        # All of them begin with the authorities.
        assert await asyncio.gather(*(status(transport) for _ in range(4))) == [204] * 4
        assert await status(transport) == 204


async def test_a_stale_line_does_no_harm_where_an_authority_vouches(
    lane: Lane, certificate: Path
) -> None:
    stale = ("ab" * 32,)
    async with transport_to(lane, known_fingerprints=stale) as transport:
        assert await status(transport) == 204


async def test_a_certificate_that_neither_vouches_for(lane: Lane) -> None:
    async with transport_to(lane, ca_file=None, known_fingerprints=("ab" * 32,)) as transport:
        for _ in range(2):
            with pytest.raises(ConnectFailed, match="not one of the pinned ones"):
                await status(transport)
