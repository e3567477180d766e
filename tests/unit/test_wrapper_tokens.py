"""The token that `exec` lends: looked for, kept alive, and never lent again once it was refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from keepalived.simulator.app import Simulator
from keepalived.vcenter.client import Client
from keepalived.wrapper.tokens import Lent, Source
from tests.support.engine import NAME, LoopClock, settings_of, simulator_in_loop, stop
from tests.support.memory_transport import MemoryTransport

pytestmark = pytest.mark.looptime

LIFETIME = 300.0


@dataclass
class Lending:
    """A token being lent, where it is found, and what was said and lent."""

    simulator: Simulator
    lent: Lent
    shelf: list[str]
    said: list[str]
    lent_out: list[str] = field(default_factory=list)

    def log_in(self) -> str:
        """Put a token of a new API session where `exec` looks for it."""
        token = self.simulator.logins.log_in(self.simulator.username, self.simulator.password)
        self.shelf[:] = [token]
        return token

    def lend(self) -> None:
        token_to_lend = self.lent.token_to_lend
        assert token_to_lend is not None
        assert not token_to_lend.refused
        self.lent_out.append(token_to_lend.value)


@asynccontextmanager
async def lending(*, from_the_start: bool = True) -> AsyncIterator[Lending]:
    """Run the lending on a simulator, with a token on the shelf from the start or not."""
    simulator, clock = simulator_in_loop(), LoopClock()
    settings = settings_of(simulator, "http://vcenter.test")
    client = Client(NAME, settings, MemoryTransport(simulator.handle), clock)
    shelf = []
    if from_the_start:
        shelf.append(simulator.logins.log_in(simulator.username, simulator.password))
    source = Source(
        "the API session of F", lambda: shelf[0] if shelf else None, is_commands_own=True
    )
    said: list[str] = []
    place = Lending(simulator, Lent(source, clock, said.append), shelf, said)
    work = asyncio.create_task(place.lent.run(client, LIFETIME, 10.0, place.lend))
    try:
        yield place
    finally:
        await stop(work)
        await client.close(timeout=10.0)


async def test_a_token_is_kept_alive_twice_in_a_lifetime() -> None:
    async with lending() as place:
        await asyncio.sleep(1000)
        asked = [entry.time for entry in place.simulator.ledger.requests("*")]
        assert asked == [150, 300, 450, 600, 750, 900]
        assert place.said == []


async def test_a_token_that_comes_later_is_lent_once() -> None:
    async with lending(from_the_start=False) as place:
        await asyncio.sleep(60)
        assert place.lent_out == []
        token = place.log_in()
        await asyncio.sleep(60)
        assert place.lent_out == [token]
        assert place.said == ["the API session of F is kept alive"]


async def test_a_refused_token_is_not_lent_again_though_it_is_still_found() -> None:
    async with lending() as place:
        (token,) = place.shelf
        place.simulator.logins.log_out(token)
        await asyncio.sleep(2 * LIFETIME)
        assert place.shelf == [token]
        assert place.lent_out == []
        assert place.lent.token is None
        assert place.lent.token_to_lend is None
        (warning,) = place.said
        assert warning.startswith("warning: the API session of F has ended (401)")
        fresh = place.log_in()
        await asyncio.sleep(60)
        assert place.lent_out == [fresh]
        # A cache that is put back from a copy may bring the old one back.
        place.simulator.logins.log_out(fresh)
        await asyncio.sleep(LIFETIME)
        place.shelf[:] = [token]
        await asyncio.sleep(LIFETIME)
        assert place.lent_out == [fresh]
        assert place.lent.token is None


async def test_a_token_that_a_session_finds_refused_is_not_lent_again() -> None:
    async with lending() as place:
        (token,) = place.shelf
        place.lent.refuse()
        place.lent.refuse()  # as other sessions find it, too
        assert len(place.said) == 1
        await asyncio.sleep(LIFETIME)
        assert place.shelf == [token]
        assert place.lent_out == []
        assert place.lent.token_to_lend is None
