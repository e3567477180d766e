"""One session held by a script, on the fake clock: entered, kept, looked at again, left."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from keepalived.embedded.arguments import check
from keepalived.embedded.errors import (
    AccessRefused,
    HoldError,
    SessionLost,
    VCenterUnavailable,
)
from keepalived.embedded.hold_runner import Departure, HoldRunner, is_loss
from keepalived.embedded.hold_state import HoldState
from keepalived.lease.model import Kind, State
from keepalived.lease.progress import Progress
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail, Latency, Refuse
from keepalived.simulator.resources import SourceType
from keepalived.simulator.wire import Request, Response
from tests.support.engine import LoopClock, simulator_in_loop
from tests.support.memory_transport import MemoryTransport
from tests.support.simulator import api_caller

pytestmark = pytest.mark.looptime

LIFETIME = 300.0
URL = "http://localhost"


@dataclass
class Held:
    """A session that is held, and the block that holds it."""

    simulator: Simulator
    id: str
    link: HoldState
    keeping: HoldRunner
    work: asyncio.Task[None]

    async def leave(self, departure: Departure = Departure.POLL) -> None:
        self.keeping.leave(departure)
        await self.work

    def sent(self, route: str = "*") -> list[str]:
        entries = self.simulator.ledger.requests(route)
        return [entry.route.rpartition(".")[2] for entry in entries]

    def progress(self) -> list[int]:
        entries = self.simulator.ledger.requests("*.keep_alive")
        return [each.client_progress for each in entries if each.client_progress is not None]


def keep(
    simulator: Simulator,
    session_id: str,
    *,
    kind: Kind = Kind.UPDATE,
    access: dict[str, str] | None = None,
    handle: Callable[[Request], Awaitable[Response]] | None = None,
    entered: Callable[[], None] = lambda: None,
) -> Held:
    """Begin to hold a session, and do not wait for what the vCenter says to that."""
    access = access or {"username": simulator.username, "password": simulator.password}
    wanted = check(URL, session_id, kind, session_timeout=LIFETIME, **access)
    link = HoldState()
    keeping = HoldRunner(
        wanted, link, LoopClock(), 10.0, lambda _: MemoryTransport(handle or simulator.handle)
    )
    work = asyncio.create_task(keeping.run(entered))
    return Held(simulator, session_id, link, keeping, work)


@asynccontextmanager
async def held(kind: Kind = Kind.UPDATE, **how: Any) -> AsyncIterator[Held]:
    """Hold a session of a simulator of its own; the test leaves it, or this does."""
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    entered = asyncio.Event()
    session_id = simulator.open_session(kind=kind)
    opened = keep(simulator, session_id, kind=kind, entered=entered.set, **how)
    await asyncio.wait_for(entered.wait(), 5)
    try:
        yield opened
    finally:
        await opened.leave(Departure.AT_ONCE)


def ends(opened: Held) -> list[State]:
    heard: list[State] = []
    opened.link.on_end(lambda end: heard.append(end.state))
    return heard


async def test_a_session_lives_for_many_lifetimes_and_is_let_go() -> None:
    async with held() as opened:
        heard = ends(opened)
        await asyncio.sleep(12 * LIFETIME)
        states = [opened.link.state]
        await opened.leave()
        states.append(opened.link.state)

        assert states == [State.ACTIVE, State.RELEASED]
        assert (opened.link.end, heard) == (None, [])
        assert opened.simulator.ledger.events_of(opened.id)[-1].event == "created"
        assert opened.sent("session.*") == ["create", "delete"]  # logged in once, and out


async def test_progress_goes_with_the_next_renewal_and_never_back() -> None:
    async with held() as opened:
        for percent in (10, 30, 20, 30):
            opened.keeping.report(Progress(percent=percent))
        await asyncio.sleep(LIFETIME)
        opened.keeping.report(Progress(done=50, total=100))
        await opened.leave()
        assert opened.progress() == [30, 50]  # the last one with the last look


async def test_leaving_at_once_asks_nothing_more() -> None:
    async with held() as opened:
        await asyncio.sleep(1)
        before = len(opened.sent())
        await opened.leave(Departure.AT_ONCE)
        assert opened.sent()[before:] == ["delete"]  # the login's end


async def test_the_last_look_finds_what_no_renewal_has_seen() -> None:
    async with held() as opened:
        heard = ends(opened)
        await asyncio.sleep(LIFETIME)
        opened.simulator.library.sessions.fail(Kind.UPDATE, opened.id, "the disk is full")
        assert opened.link.end is None
        await opened.leave()

        end = opened.link.end
        assert end is not None
        assert (end.state, end.error_message, heard) == (State.ERROR, "the disk is full", heard)
        assert heard == [State.ERROR]
        assert is_loss(end)


async def test_what_is_lost_is_told_at_once_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with held() as opened:
        heard = ends(opened)
        opened.simulator.library.sessions.cancel(Kind.UPDATE, opened.id)
        await asyncio.sleep(LIFETIME)
        assert heard == [State.CANCELED]
        opened.link.on_end(lambda end: heard.append(end.state))
        assert heard == [State.CANCELED, State.CANCELED]  # whoever asks later hears of it, too
        assert caplog.messages == [
            f"update session {opened.id} ended as CANCELED (canceled on the server)"
        ]


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_session_that_was_completed_is_not_lost(is_deleted: bool) -> None:
    async with held() as opened:
        await asyncio.sleep(1)
        opened.simulator.library.sessions.complete(Kind.UPDATE, opened.id)
        if is_deleted:
            opened.simulator.library.sessions.delete(Kind.UPDATE, opened.id)
        await opened.leave()
        end = opened.link.end
        assert end is not None
        assert (end.state, is_loss(end)) == (State.DONE, False)


async def test_who_enters_knows_what_the_item_was_before_however_quick_the_upload() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    simulator.faults.add(Latency(2), route="update_session.get")
    entered = asyncio.Event()
    opened = keep(simulator, simulator.open_session(), entered=entered.set)
    await asyncio.wait_for(entered.wait(), 5)
    simulator.library.sessions.complete(Kind.UPDATE, opened.id)
    simulator.library.sessions.delete(Kind.UPDATE, opened.id)
    await opened.leave()
    end = opened.link.end
    assert end is not None
    assert (end.state, end.content_moved) == (State.DONE, True)


@pytest.mark.parametrize(
    ("kind", "state", "is_lost"),
    [(Kind.UPDATE, State.REMOVED, True), (Kind.DOWNLOAD, State.DONE, False)],
)
async def test_an_upload_that_was_thrown_away_is_lost_and_a_download_has_served(
    kind: Kind, state: State, is_lost: bool
) -> None:
    async with held(kind) as opened:
        await asyncio.sleep(1)
        opened.simulator.library.sessions.cancel(kind, opened.id)
        opened.simulator.library.sessions.delete(kind, opened.id)
        await opened.leave()
        end = opened.link.end
        assert end is not None
        assert (end.state, is_loss(end)) == (state, is_lost)


async def test_a_callback_that_fails_is_logged_and_keeps_nobody_from_hearing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with held() as opened:
        opened.link.on_end(lambda _end: [][1])
        heard = ends(opened)
        opened.simulator.library.sessions.cancel(Kind.UPDATE, opened.id)
        await opened.leave()
        assert heard == [State.CANCELED]
        assert "a callback passed to on_end failed" in caplog.messages


# -- entering


async def failure(opened: Held) -> HoldError:
    with pytest.raises(HoldError) as failed:
        await opened.work
    return failed.value


async def test_a_session_that_does_not_exist_is_said_at_once() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    error = await failure(keep(simulator, "nothing"))
    assert isinstance(error, SessionLost)
    assert (error.state, error.session_id) == (State.NOT_FOUND, "nothing")
    assert asyncio.get_running_loop().time() < 1
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own; as multiprocessing does
    assert (str(again), again.end) == (str(error), error.end)


async def test_a_session_that_has_ended_already_is_said_at_once() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    session_id = simulator.open_session()
    simulator.library.sessions.fail(Kind.UPDATE, session_id, "the disk is full")
    error = await failure(keep(simulator, session_id))
    assert isinstance(error, SessionLost)
    assert (error.state, error.error_message) == (State.ERROR, "the disk is full")
    assert "the disk is full" in str(error)


async def test_credentials_that_are_refused_are_said_at_once_and_tried_once() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    access = {"username": simulator.username, "password": "wrong"}
    opened = keep(simulator, simulator.open_session(), access=access)
    error = await failure(opened)
    assert isinstance(error, AccessRefused)
    assert "wrong" not in str(error)
    assert opened.sent("session.create") == ["create"]


async def test_a_token_that_is_refused_is_said_at_once() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    error = await failure(keep(simulator, simulator.open_session(), access={"token": "t0p-secret"}))
    assert isinstance(error, AccessRefused)
    assert "t0p-secret" not in str(error)


async def test_a_privilege_that_lacks_is_said_at_once() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    simulator.faults.add(Fail(403), route="*.keep_alive")
    error = await failure(keep(simulator, simulator.open_session()))
    assert isinstance(error, AccessRefused)
    assert "HTTP 403" in str(error)


async def test_a_vcenter_that_is_away_is_waited_for_as_long_as_asked() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    simulator.faults.add(Refuse())
    error = await failure(keep(simulator, simulator.open_session()))
    assert isinstance(error, VCenterUnavailable)
    assert "did not renew the session within 10 s: " in str(error)
    assert 10 <= asyncio.get_running_loop().time() < 12


async def test_a_vcenter_that_comes_back_in_time_is_entered() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    simulator.faults.add(Refuse(), seconds=4)
    entered = asyncio.Event()
    opened = keep(simulator, simulator.open_session(), entered=entered.set)
    await asyncio.wait_for(entered.wait(), 10)
    await opened.leave()


async def test_who_leaves_while_entering_is_let_go() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    simulator.faults.add(Refuse())
    opened = keep(simulator, simulator.open_session())
    await asyncio.sleep(1)
    opened.keeping.leave(Departure.AT_ONCE)
    assert "before it had been entered" in str(await failure(opened))


# -- trouble on the way


async def test_an_outage_shorter_than_the_lifetime_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with held() as opened:
        await asyncio.sleep(2 * LIFETIME)
        opened.simulator.faults.add(Refuse(), seconds=LIFETIME / 3)
        await asyncio.sleep(2 * LIFETIME)
        await opened.leave()
        assert opened.link.state is State.RELEASED
        assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_session_that_nobody_could_renew_is_doubted_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with held() as opened:
        await asyncio.sleep(1)
        opened.simulator.faults.add(Refuse())
        await asyncio.sleep(3 * LIFETIME)
        await opened.leave()
        assert "could not be renewed for longer than its lifetime" in caplog.messages[-1]
        assert opened.link.end is None  # nobody knows


async def test_keep_alives_without_effect_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)

    async def swallow(request: Request) -> Response:
        if "keep-alive" in request.target:
            return Response(204)
        return await simulator.handle(request)

    opened = keep(simulator, simulator.open_session(), handle=swallow)
    await asyncio.sleep(0.8 * LIFETIME)
    await opened.leave(Departure.AT_ONCE)
    assert caplog.messages == [
        f"update session {opened.id}: keep-alives are answered, but have no effect on the server"
    ]


async def test_a_file_that_fails_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with held() as opened:
        transfers = opened.simulator.library.transfers
        file = transfers.add(opened.id, "disk.vmdk", SourceType.PUSH)
        transfers.begin_upload(file.ticket or "").interrupt("no space left")
        await asyncio.sleep(2 * LIFETIME)
        assert caplog.messages == [
            f"update session {opened.id}: file disk.vmdk failed: no space left"
        ]


async def test_a_lent_token_is_used_alone_and_never_logged_out() -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME, token_idle_timeout=LIFETIME)
    token = (await api_caller(simulator)).token
    entered = asyncio.Event()
    opened = keep(simulator, simulator.open_session(), access={"token": token}, entered=entered.set)
    await entered.wait()
    await asyncio.sleep(10 * LIFETIME)
    await opened.leave()
    assert opened.sent("session.*") == ["create"]  # the script's own login, for ever
    (login,) = {entry.login for entry in simulator.ledger.requests("update_session.*")}
    assert login.endswith("#1")


async def test_a_lent_token_that_ends_on_the_way_is_said(caplog: pytest.LogCaptureFixture) -> None:
    simulator = simulator_in_loop(session_timeout=LIFETIME)
    token = (await api_caller(simulator)).token
    entered = asyncio.Event()
    opened = keep(simulator, simulator.open_session(), access={"token": token}, entered=entered.set)
    await entered.wait()
    simulator.logins.forget_all()
    await asyncio.sleep(LIFETIME)
    await opened.leave()
    said = [text for text in caplog.messages if "is no longer accepted (401)" in text]
    assert len(said) == 1
    assert token not in caplog.text
