"""The loss that a lent token cures, on a real daemon, a real command line and HTTP: an upload whose
API session idles out during one long transfer, so that its last call is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from tests.integration.simulator_support import API, Uploader, uploader_at
from tests.support.cli import Ran, run
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, serving

pytestmark = pytest.mark.timeout(90)

LIFETIME = 3.0
TOKEN_IDLE = 6.0
TRANSFER = 9.0
_PIECES = 20


class Site:
    """A simulated vCenter, an uploader that is logged in, and where a daemon is to listen."""

    def __init__(self, simulator: Simulator, uploader: Uploader, folder: Path) -> None:
        self.simulator = simulator
        self.uploader = uploader
        self.socket = folder / "control.sock"
        self.config = folder / "config.yaml"
        self.config.write_text(
            f"vcenters:\n"
            f"  lab:\n"
            f"    url: {uploader.url}\n"
            f"    username: {simulator.username}\n"
            f"    password_env: {PASSWORD_VARIABLE}\n"
            f"    session_timeout: {LIFETIME}\n"
            f"control: {{socket: {self.socket}}}\n"
            f"state: {{path: {folder}/state.db}}\n"
            f"http: {{listen: '127.0.0.1:0'}}\n"
            f"log: {{level: debug}}\n"
        )

    @property
    def token(self) -> str:
        """The token that the uploader logged in for."""
        return self.uploader.http.headers["vmware-api-session-id"]

    def use(self, token: str) -> None:
        """Let the uploader go on with another token."""
        self.uploader.http.headers["vmware-api-session-id"] = token

    async def transfer(self, session_id: str) -> None:
        """Send a file, slowly and without another call."""
        address = await self.uploader.add_file(session_id)

        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(_PIECES):
                yield bytes(1000)
                await asyncio.sleep(TRANSFER / _PIECES)

        async with self.uploader.http.put(address, data=slowly()) as answer:
            assert answer.status == 200

    async def complete(self, session_id: str) -> int:
        """Say that all is there, and return how that was answered."""
        path = f"{API}/update-session/{session_id}?action=complete"
        return (await self.uploader.call("POST", path, {}))[0]

    async def cli(self, *words: str, stdin: str = "") -> Ran:
        """Run a command that is to succeed."""
        ran = await run(self.socket, *words, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran

    def uses(self, token: str, session_id: str) -> int:
        """Return how many keep-alives went out with a token."""
        login = self.simulator.logins.peek(token)
        entries = self.simulator.ledger.requests("*.keep_alive", session_id=session_id)
        return sum(login is not None and entry.login == login.alias for entry in entries)


@asynccontextmanager
async def site_with(simulator: Simulator, folder: Path) -> AsyncIterator[Site]:
    async with uploader_at(simulator) as uploader:
        yield Site(simulator, uploader, folder)


@asynccontextmanager
async def daemon_at(site: Site) -> AsyncIterator[Daemon]:
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("ready")
        yield daemon


async def test_without_us_the_last_call_of_a_long_upload_is_refused(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=LIFETIME, token_idle_timeout=TOKEN_IDLE)
    async with site_with(simulator, tmp_path) as site:
        session_id = simulator.open_session()
        await site.transfer(session_id)
        # The transfer itself kept the update session, and nothing the API session.
        assert simulator.ledger.session(session_id).ended is None
        assert await site.complete(session_id) == 401


async def test_with_a_lent_token_it_succeeds_and_no_trace_of_the_token_is_left(
    tmp_path: Path,
) -> None:
    simulator = Simulator(session_timeout=LIFETIME, token_idle_timeout=TOKEN_IDLE)
    async with site_with(simulator, tmp_path) as site, daemon_at(site) as daemon:
        session_id = simulator.open_session()
        held = await site.cli(
            "hold", session_id, "--no-owner", "--token-file", "-", stdin=site.token
        )
        await site.transfer(session_id)
        status = await site.cli("status", session_id)
        metrics = await daemon.metrics()

        assert await site.complete(session_id) == 204

        ended = await daemon.event("session_ended", session_id=session_id)
        assert (ended["state"], ended["content_moved"]) == ("DONE", True)
        assert site.uses(site.token, session_id) >= 3
        is_shown = site.token in "\n".join(
            [json.dumps(daemon.events), *daemon.other_lines, held.out, status.out, str(metrics)]
        )
        assert not is_shown


async def test_a_token_that_dies_is_told_and_a_fresh_one_taken(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=LIFETIME, token_max_age=2.0)
    async with site_with(simulator, tmp_path) as site, daemon_at(site) as daemon:
        session_id = simulator.open_session()
        await site.cli("hold", session_id, "--no-owner", "--token-file", "-", stdin=site.token)
        refused = await daemon.event("token_refused", session_id=session_id)
        assert refused["fallback"] is True
        said = await site.cli("status", session_id)
        assert "its API token is refused: lend a fresh one" in said.out

        # The daemon goes on with its own credentials, for longer than a lifetime.
        renewals = len(simulator.ledger.requests("*.keep_alive", session_id=session_id))
        await daemon.until(
            lambda: (
                len(simulator.ledger.requests("*.keep_alive", session_id=session_id))
                >= renewals + 4
            )
        )
        assert simulator.ledger.session(session_id).ended is None

        simulator.logins.max_age = 3600.0
        fresh = simulator.logins.log_in(simulator.username, simulator.password)
        await site.cli("progress", session_id, "--token-file", "-", stdin=fresh)
        await daemon.until(lambda: site.uses(fresh, session_id) >= 1)
        assert "its API token is lent" in (await site.cli("status", session_id)).out
        site.use(fresh)
        await site.transfer(session_id)
        assert await site.complete(session_id) == 204
        await daemon.event("session_ended", session_id=session_id, state="DONE")


async def test_a_lent_token_is_never_logged_out(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=LIFETIME)
    async with site_with(simulator, tmp_path) as site:
        async with daemon_at(site) as daemon:
            session_id = simulator.open_session(kind=Kind.DOWNLOAD)
            words = ("hold", session_id, "--kind", "download", "--no-owner")
            await site.cli(*words, "--token-file", "-", stdin=site.token)
            await daemon.until(lambda: site.uses(site.token, session_id) >= 2)
            await site.cli("release", session_id, "--kind", "download")
            await daemon.event("session_ended", session_id=session_id)
            daemon.process.terminate()
            assert await daemon.end() == 0
        assert (await site.uploader.call("GET", "/api/session"))[0] == 200
