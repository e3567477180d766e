"""The events that `exec` prints a line about, from the vCenter's answer to the terminal.

The engine of `exec` keeps one session here, on the fake clock, before the simulator in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from keepalived.engine import one_vcenter
from keepalived.keeper.registry import Registry
from keepalived.lease.events import SessionEnd
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail, Refuse
from keepalived.simulator.resources import SourceType
from keepalived.simulator.transfers import ReceivedUpload
from keepalived.simulator.wire import Request, Response
from keepalived.wrapper.console_listener import ConsoleListener
from tests.support.engine import NAME, LoopClock, settings_of, simulator_in_loop
from tests.support.memory_transport import MemoryTransport

pytestmark = pytest.mark.looptime

ITEM = "library/image.ova"
LIFETIME = 300.0


@dataclass
class Printed:
    """A session that is kept, and what was printed about it."""

    simulator: Simulator
    key: SessionKey
    registry: Registry
    lines: list[str] = field(default_factory=list)
    ends: list[SessionEnd] = field(default_factory=list)
    refusals: int = 0

    async def until(self, words: str, seconds: float = 2 * LIFETIME) -> str:
        """Wait for a line with these words; the bound is on the fake clock."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not (found := [line for line in self.lines if words in line]):
            assert loop.time() < end, self.lines
            await asyncio.sleep(1)
        return found[0]

    def upload(self) -> ReceivedUpload:
        """Begin to send a file into the session."""
        transfers = self.simulator.library.transfers
        file = transfers.add(self.key.id, "disk.vmdk", SourceType.PUSH)
        return transfers.begin_upload(file.ticket or "")


@asynccontextmanager
async def printed(
    *,
    lend: bool = False,
    stall_timeout: float = 2400.0,
    swallows_keep_alives: bool = False,
    password: str = "",
) -> AsyncIterator[Printed]:
    """Keep a session of a new simulator until the block is left."""
    simulator, clock = simulator_in_loop(), LoopClock()
    key = SessionKey(NAME, Kind.UPDATE, simulator.open_session())
    token = simulator.logins.log_in(simulator.username, simulator.password) if lend else None
    settings = settings_of(simulator, "http://vcenter.test", password)

    async def handle(request: Request) -> Response:
        if swallows_keep_alives and "keep-alive" in request.target:
            return Response(204)
        return await simulator.handle(request)

    def refused() -> None:
        seen.refusals += 1

    lines: list[str] = []
    teller = ConsoleListener(
        lines.append,
        lambda key: seen.registry.find(key),
        lambda end: seen.ends.append(end),
        refused,
    )
    async with one_vcenter(
        NAME,
        settings,
        teller,
        clock,
        stall_timeout=stall_timeout,
        make_transport=lambda _: MemoryTransport(handle),
    ) as (engine, _):
        seen = Printed(simulator, key, engine.registry, lines)
        lent = None if token is None else LentToken(token)
        owner = Owner(OwnerKind.COMMAND, "1")
        engine.registry.hold(key, Hold(0, owner, clock.boot(), None, token=lent))
        await asyncio.sleep(5)
        yield seen


async def test_a_renewal_that_fails_is_printed_once_it_is_urgent_and_so_is_the_next_good_one() -> (
    None
):
    async with printed() as seen:
        at_server = seen.simulator.library.sessions.get(seen.key.kind, seen.key.id)
        seen.simulator.faults.add(Fail(500), route="*.keep_alive")
        for _ in range(12):
            seen.simulator.library.sessions.touch(at_server)  # the uploader's own keep-alives
            await asyncio.sleep(20)
        (line,) = seen.lines
        assert line.startswith(f"warning: {ITEM} cannot be renewed: HTTP 500: ")
        assert line.endswith(" left")
        seen.simulator.faults.clear()
        assert await seen.until("renewed again") == f"{ITEM} was renewed again"
        assert len(seen.lines) == 2


async def test_keep_alives_without_effect_are_printed() -> None:
    async with printed(swallows_keep_alives=True) as seen:
        line = await seen.until("have no effect")
    assert line.startswith(f"warning: {ITEM}: keep-alives are answered, but have no effect on the")


async def test_a_file_that_fails_is_printed() -> None:
    async with printed() as seen:
        seen.upload().interrupt("no space left")
        line = await seen.until("the file")
    assert line == f"{ITEM}: the file disk.vmdk failed: no space left"


async def test_a_transfer_that_stalls_is_printed_and_so_is_that_it_moves_again() -> None:
    async with printed() as seen:
        upload = seen.upload()
        for _ in range(20):
            upload.write(b"x" * 1000)
            await asyncio.sleep(30)
        line = await seen.until("no bytes have moved", 1200)
        assert line.startswith(f"warning: {ITEM}: no bytes have moved for ")
        upload.write(b"x")
        assert await seen.until("are moving again") == f"{ITEM}: bytes are moving again"


async def test_a_lent_token_that_is_refused_is_passed_on() -> None:
    async with printed(lend=True) as seen:
        session = seen.registry.find(seen.key)
        assert session is not None
        (hold,) = session.holds
        assert hold.token is not None
        seen.simulator.logins.log_out(hold.token.value)
        await asyncio.sleep(LIFETIME)
        assert seen.refusals == 1


async def test_a_loss_is_printed_at_once_and_every_end_is_passed_on() -> None:
    async with printed() as seen:
        seen.simulator.library.sessions.fail(seen.key.kind, seen.key.id, "the disk is full")
        line = await seen.until("was lost")
        assert line == f"{ITEM} was lost: ERROR, the disk is full"
        assert [end.state for end in seen.ends] == [State.ERROR]
    async with printed() as seen:
        seen.registry.release(seen.key, 0, Owner(OwnerKind.COMMAND, "1"))
        assert [end.state for end in seen.ends] == [State.RELEASED]
        assert seen.lines == []


async def test_an_outage_is_printed_from_both_ends() -> None:
    async with printed() as seen:
        seen.simulator.faults.add(Refuse(), seconds=150)
        line = await seen.until("does not answer")
        assert line == (f"warning: {NAME} does not answer: the connection was refused; retrying")
        line = await seen.until("answers again")
        assert line.startswith(f"{NAME} answers again, after ")


async def test_refused_credentials_are_printed_once() -> None:
    async with printed(password="wrong") as seen:
        assert await seen.until("refuses") == f"warning: {NAME} refuses the credentials"
        await asyncio.sleep(LIFETIME)
        assert len([line for line in seen.lines if "refuses" in line]) == 1
