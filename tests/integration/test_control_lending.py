"""The loss that a lent token cures: an upload whose API session idles out during one long transfer,
so that its last call is refused. On the fake clock, and once with a daemon, commands and HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keepalived.daemon import Daemon
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.settings import Loaded, Settings
from keepalived.simulator.app import Simulator
from keepalived.validation import Secret, validate
from tests.integration.simulator_support import API, uploader_at
from tests.support.cli import Ran, run
from tests.support.control import Caller, caller_at
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.daemon_in_memory import SharedClock
from tests.support.discovering import Uploader, send
from tests.support.engine import simulator_in_loop
from tests.support.memory_transport import MemoryTransport
from tests.support.simulator import api_caller

LIFETIME = 300.0
TOKEN_IDLE = 600.0
TRANSFER = 900.0


class Site:
    """A simulated vCenter, and an uploader that is logged in to it, in memory."""

    def __init__(self, simulator: Simulator, token: str) -> None:
        self.simulator = simulator
        self.uploader = Uploader(simulator)
        self.id = self.uploader.id
        self.path = f"/v1/sessions/lab/{self.id}"
        self.token = token

    async def transfer(self) -> None:
        """Send a file, slowly and without another call."""
        upload = self.uploader.begin()
        await send(upload, TRANSFER)
        upload.finish()

    async def complete(self, token: str) -> int:
        """Tell the server that the upload is complete; return the status of its answer."""
        caller = await api_caller(self.simulator)
        caller.token = token
        path = f"/content/library/item/update-session/{self.id}?action=complete"
        return (await caller.call("POST", path, {}))[0]

    def uses(self, token: str) -> int:
        """Return how many keep-alives went out with a token."""
        return uses(self.simulator, token, self.id)


def uses(simulator: Simulator, token: str, session_id: str) -> int:
    """Return how many keep-alives of a session went out with a token."""
    login = simulator.logins.peek(token)
    entries = simulator.ledger.requests("*.keep_alive", session_id=session_id)
    return sum(login is not None and entry.login == login.alias for entry in entries)


async def site_with(**options: float) -> Site:
    simulator = simulator_in_loop(session_timeout=LIFETIME, **options)
    return Site(simulator, (await api_caller(simulator)).token)


@asynccontextmanager
async def daemon_at(site: Site, folder: Path) -> AsyncIterator[tuple[Daemon, Caller]]:
    """Run a daemon on the fake clock, and connect to its control socket."""
    simulator = site.simulator
    vcenter = {
        "url": "http://vcenter.test",
        "username": simulator.username,
        "password": Secret(simulator.password),
    }
    data = {
        "vcenters": {"lab": vcenter},
        "state": {"path": folder / "state.db"},
        "control": {"socket": folder / "control.sock"},
        "http": {"listen": "127.0.0.1:0"},
    }
    loaded = Loaded(validate(Settings, data))

    async def load() -> Loaded:
        return loaded

    daemon = Daemon(
        loaded,
        load,
        clock=SharedClock(),
        make_transport=lambda _settings: MemoryTransport(simulator.handle),
    )
    task = asyncio.create_task(daemon.run())
    try:
        await asyncio.sleep(2)
        async with caller_at(folder / "control.sock") as caller:
            yield daemon, caller
    finally:
        daemon.stop()
        await task


@pytest.mark.looptime
async def test_without_us_the_last_call_of_a_long_upload_is_refused() -> None:
    site = await site_with(token_idle_timeout=TOKEN_IDLE)
    await site.transfer()
    # The transfer itself kept the update session, and nothing the API session.
    assert site.simulator.ledger.session(site.id).ended is None
    assert await site.complete(site.token) == 401


@pytest.mark.looptime
async def test_with_a_lent_token_the_last_call_succeeds(tmp_path: Path) -> None:
    site = await site_with(token_idle_timeout=TOKEN_IDLE)
    async with daemon_at(site, tmp_path) as (daemon, caller):
        held = await caller.put(site.path, {"owner": None, "token": site.token})
        assert held.status == 201
        await site.transfer()
        assert await site.complete(site.token) == 204
        await asyncio.sleep(LIFETIME)
        session = daemon.registry.find(SessionKey("lab", Kind.UPDATE, site.id))
        assert session is not None
        assert session.state is State.DONE
    assert site.uses(site.token) >= 3


@pytest.mark.looptime
async def test_a_token_that_dies_is_told_and_a_fresh_one_taken(tmp_path: Path) -> None:
    site = await site_with(token_max_age=200.0)
    simulator = site.simulator
    with capture_logs() as log:
        async with daemon_at(site, tmp_path) as (daemon, caller):
            await caller.put(site.path, {"owner": None, "token": site.token})
            await asyncio.sleep(2 * LIFETIME)
            (refused,) = [line for line in log if line["event"] == "token_refused"]
            assert (refused["session_id"], refused["fallback"]) == (site.id, True)
            (hold,) = (await caller.get(site.path)).body["holds"]
            assert hold["token"] == "refused"

            # The daemon goes on with its own credentials, for longer than a lifetime.
            renewals = len(simulator.ledger.requests("*.keep_alive", session_id=site.id))
            await asyncio.sleep(3 * LIFETIME)
            entries = simulator.ledger.requests("*.keep_alive", session_id=site.id)
            assert len(entries) >= renewals + 4
            assert simulator.ledger.session(site.id).ended is None

            simulator.logins.max_age = 3600.0
            fresh = simulator.logins.log_in(simulator.username, simulator.password)
            await caller.patch(site.path, {"token": fresh})
            await site.transfer()
            assert site.uses(fresh) >= 1
            (hold,) = (await caller.get(site.path)).body["holds"]
            assert hold["token"] == "lent"
            assert await site.complete(fresh) == 204
            await asyncio.sleep(LIFETIME)
            session = daemon.registry.find(SessionKey("lab", Kind.UPDATE, site.id))
            assert session is not None
            assert session.state is State.DONE


async def test_a_token_lent_by_a_command_leaves_no_trace_and_is_never_logged_out(
    tmp_path: Path,
) -> None:
    simulator = Simulator(session_timeout=LIFETIME)
    socket, config = tmp_path / "control.sock", tmp_path / "config.yaml"

    async def cli(*words: str, stdin: str = "") -> Ran:
        ran = await run(socket, *words, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran

    async with uploader_at(simulator) as uploader:
        token = uploader.http.headers["vmware-api-session-id"]
        config.write_text(
            f"vcenters:\n"
            f"  lab:\n"
            f"    url: {uploader.url}\n"
            f"    username: {simulator.username}\n"
            f"    password_env: {PASSWORD_VARIABLE}\n"
            f"control: {{socket: {socket}}}\n"
            f"state: {{path: {tmp_path}/state.db}}\n"
            f"http: {{listen: '127.0.0.1:0'}}\n"
            f"log: {{level: debug}}\n"
        )
        async with serving(config, simulator.password) as daemon:
            await daemon.event("ready")
            uploaded, released = simulator.open_session(), simulator.open_session()
            held = [
                await cli("hold", each, "--no-owner", "--token-file", "-", stdin=token)
                for each in (uploaded, released)
            ]
            await daemon.until(
                lambda: all(uses(simulator, token, each) for each in (uploaded, released))
            )
            status = await cli("status", uploaded)
            metrics = await daemon.metrics()
            await cli("release", released)
            complete = f"{API}/update-session/{uploaded}?action=complete"
            assert (await uploader.call("POST", complete, {}))[0] == 204
            renewed = await run(socket, "renew", uploaded)  # which is how the daemon learns of it
            assert "not_allowed_in_current_state" in renewed.err
            ended = await daemon.event("session_ended", session_id=uploaded)
            assert (ended["state"], ended["content_moved"]) == ("DONE", True)
            daemon.process.terminate()
            assert await daemon.end() == 0
            said = [each.out for each in (*held, status)]
            is_shown = token in "\n".join(
                [json.dumps(daemon.events), *daemon.other_lines, *said, str(metrics)]
            )
            assert not is_shown
        assert (await uploader.call("GET", "/api/session"))[0] == 200
