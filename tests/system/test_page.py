"""The status page of a real daemon in a real browser: what is seen, and what does no harm.

The page as it looks at each width, light and dark, is left in the folder that SCREENSHOTS names.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from tests.integration.simulator_support import Uploader, uploader_at
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, serving
from tests.support.programs import needs
from tests.system.browser import Tab, chromium

pytestmark = [needs("chromium"), pytest.mark.timeout(900)]

LIFETIME = 10.0
EVIL = """<script>document.title='taken'</script>"><img src=x onerror="document.title='taken'">"""

ROWS = "document.querySelectorAll('#sessions ol > li').length"


class Site:
    """A simulated vCenter, the daemon that keeps its sessions, and a browser on the daemon's page.

    `socket` takes holds from scripts.
    """

    def __init__(self, uploader: Uploader, simulator: Simulator, folder: Path, tab: Tab) -> None:
        self.simulator = simulator
        self.tab = tab
        self.uploader = uploader
        self.socket = folder / "control.sock"
        self.config = folder / "config.yaml"
        self.daemon: Daemon
        self.url: str

    def open_session(self, name: str) -> str:
        """Open a session on the server for an item of that name."""
        return self.simulator.library.open_session(self.simulator.username, item_name=name).id

    def hold_by_file(self, ids: list[str]) -> None:
        lines = "".join(f"- {{id: '{each}'}}\n" for each in ids)
        (self.config.parent / "sessions.yaml").write_text(f"sessions:\n{lines or ' []'}")

    async def call(self, method: str, session_id: str, body: object = None) -> None:
        """Speak to the control socket about a session."""
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as http,
            http.request(method, f"/v1/sessions/lab/{session_id}", json=body) as answer,
        ):
            assert answer.status in (200, 201), await answer.text()


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with chromium(tmp_path) as tab:
        await tab.look(width=1280)
        yield tab


@asynccontextmanager
async def watched(
    folder: Path, tab: Tab, *, lifetime: float = LIFETIME, sessions: int = 0
) -> AsyncIterator[Site]:
    """Run a daemon on a simulator that has so many sessions, and look at its page.

    At the end, the browser must not have complained of anything.
    """
    simulator = Simulator(session_timeout=lifetime)
    async with uploader_at(simulator) as uploader:
        site = Site(uploader, simulator, folder, tab)
        site.hold_by_file([])
        site.config.write_text(
            "vcenters:\n"
            f"  lab: {{url: '{uploader.url}', username: '{simulator.username}',\n"
            f"        password_env: {PASSWORD_VARIABLE}, session_timeout: {lifetime}}}\n"
            f"session_files: ['{folder / 'sessions.yaml'}']\n"
            f"control: {{socket: '{site.socket}'}}\n"
            f"state: {{path: '{folder / 'state.db'}'}}\n"
            "http: {listen: '127.0.0.1:0'}\n"
        )
        async with serving(site.config, simulator.password) as site.daemon:
            ready = await site.daemon.event("ready", seconds=20)
            site.url = f"http://{ready['listen']}/"
            # They live for seconds, which a start may take.
            site.hold_by_file([simulator.open_session() for _ in range(sessions)])
            await tab.open(site.url)
            yield site
            # Before the daemon ends, which may cut the page off while it loads itself anew.
            assert tab.complaints == []


def row(name: str) -> str:
    """Return an expression for the row of a session, by what its summary begins with."""
    return (
        "[...document.querySelectorAll('#sessions li')]"
        f".find((each) => each.querySelector('.name').textContent.includes({name!r}))"
    )


async def test_a_session_appears_renews_and_ends_without_a_reload(tmp_path: Path, tab: Tab) -> None:
    async with watched(tmp_path, tab) as site:
        assert await tab.tell("document.querySelector('h1').textContent") == "Nothing is held"
        assert "clkeepalived hold" in await tab.tell("document.body.innerText")
        await tab.tell("window.wasNotReloaded = true")

        held = site.open_session("debian-12")
        await site.call("PUT", held, {"owner": None, "progress": 40, "note": EVIL})
        await tab.until(row("debian-12"))
        assert await tab.tell("document.title") == "All is well · clkeepalived"
        assert await tab.tell(f"{row('debian-12')}.querySelector('progress').value") == 40

        left = f"{row('debian-12')}.querySelector('meter').value"
        await tab.until(f"{left} < {LIFETIME * 0.75}")
        await tab.until(f"{left} > {LIFETIME * 0.75}")

        await tab.tell(f"{row('debian-12')}.querySelector('summary').click()")
        assert await tab.tell(f"{row('debian-12')}.querySelector('q').textContent") == EVIL

        message = f"checksum mismatch {EVIL}"
        site.simulator.library.sessions.fail(Kind.UPDATE, held, message)
        await tab.until("document.querySelector('#ends li')")
        assert await tab.tell("document.querySelector('#ends q').textContent") == message
        headline = await tab.tell("document.querySelector('h1').textContent")
        assert headline == "1 session lost in the last 15 minutes"
        assert await tab.tell("document.querySelector('#sessions li')") is None

        assert await tab.tell("window.wasNotReloaded")
        assert "taken" not in await tab.tell("document.title")
        assert await tab.tell("document.images.length") == 0


async def test_what_the_reader_has_focused_opened_and_selected_stays(
    tmp_path: Path, tab: Tab
) -> None:
    async with watched(tmp_path, tab, sessions=3) as site:
        await tab.until(f"{ROWS} === 3")
        await tab.press("Tab")
        await tab.press("Tab")
        await tab.press("Enter")
        focused = await tab.tell("document.activeElement.closest('li').id")
        assert await tab.tell("document.activeElement.parentElement.open")
        await tab.tell("getSelection().selectAllChildren(document.querySelector('[open] dd code'))")
        chosen = await tab.tell("getSelection().toString()")
        assert len(chosen) > 10
        await tab.tell("""
            window.orders = new Set();
            new MutationObserver(() => window.orders.add(
              [...document.querySelectorAll("#sessions li")].map((each) => each.id).join()
            )).observe(document.querySelector("main"), {subtree: true, attributes: true});
        """)

        # Renewals make the rows change places, and the reader is not to notice.
        await tab.until("window.orders.size >= 3", seconds=25)

        assert await tab.tell("document.activeElement.closest('li').id") == focused
        assert await tab.tell("document.activeElement.parentElement.open")
        assert await tab.tell("getSelection().toString()") == chosen
        # A row that ends takes the focus along to where it is shown then.
        site.hold_by_file([])
        await tab.until(f"document.querySelector('#ends [id=\"{focused}\"]')")
        assert await tab.tell("document.activeElement.closest('li').id") == focused


async def test_a_daemon_that_does_not_answer_is_told_of_and_forgiven(
    tmp_path: Path, tab: Tab
) -> None:
    async with watched(tmp_path, tab):
        silence = "document.getElementById('silence')"
        assert await tab.tell(f"{silence}.hidden")
        # Answers of another server, such as a proxy, are ignored.
        await tab.tell("""
            window.realFetch = window.fetch;
            window.fetch = async () => new Response("<main>Log in</main>");
        """)
        await tab.until(f"!{silence}.hidden")
        assert (await tab.tell(f"{silence}.textContent")).startswith("No answer from the daemon")
        assert await tab.tell("document.querySelector('h1').textContent") == "Nothing is held"
        await tab.tell("window.fetch = window.realFetch")
        await tab.until(f"{silence}.hidden")


async def test_without_scripts_it_is_a_plain_page_that_loads_itself_anew(tmp_path: Path) -> None:
    async with (
        chromium(tmp_path, scripts=False) as tab,
        watched(tmp_path, tab, sessions=3) as site,
    ):
        await site.daemon.until(lambda: renewed(site) == 3, seconds=20)
        await tab.open(site.url)
        await tab.until("document.querySelectorAll('#sessions .good').length === 3", seconds=25)
        site.hold_by_file([])
        await tab.until("document.querySelectorAll('#ends li').length === 3", seconds=25)
        assert await tab.tell("document.querySelector('h1').textContent") == "Nothing is held"


@pytest.mark.parametrize(("sessions", "rows"), [(0, 0), (3, 3), (5000, 200)])
async def test_any_number_of_sessions(tmp_path: Path, tab: Tab, sessions: int, rows: int) -> None:
    async with watched(tmp_path, tab, lifetime=300.0, sessions=sessions):
        held = "document.querySelector('.numbers dd').textContent"
        await tab.until(f"{held} === '{sessions:,}'", seconds=30)
        assert await tab.tell(ROWS) == rows
        words = await tab.tell("document.body.innerText")
        assert ("4,800 more sessions are held" in words) == (sessions == 5000)
        for width in (390, 1280):
            for dark in (False, True):
                await tab.look(width=width, dark=dark)
                assert await tab.tell("document.documentElement.scrollWidth") == width
                paper = await tab.tell("getComputedStyle(document.body).backgroundColor")
                assert paper == ("rgb(20, 23, 26)" if dark else "rgb(247, 247, 244)")
                picture = await tab.screenshot(whole=False)
                assert picture.startswith(b"\x89PNG")
                keep(picture, f"{sessions}-{width}-{'dark' if dark else 'light'}.png")


def keep(picture: bytes, name: str) -> None:
    """Save a screenshot if SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder, name).write_bytes(picture)


def renewed(site: Site) -> int:
    """Count the sessions that were renewed."""
    return sum(event["event"] == "first_renewal" for event in site.daemon.events)
