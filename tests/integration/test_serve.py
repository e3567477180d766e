"""The real daemon as a process, against the simulator over HTTP, in real time."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Hang
from keepalived.simulator.server import serve as serve_simulator
from tests.support.cli import run
from tests.support.daemon import PASSWORD_VARIABLE, serving

pytestmark = pytest.mark.timeout(90)

LIFETIME = 4.0
PATIENCE = 60.0
"""How long a session waits for its first renewal: a busy machine takes long to start a program."""


class Site:
    """A simulator, and the files of a daemon that works on it."""

    def __init__(self, simulator: Simulator, url: str, folder: Path) -> None:
        self.simulator = simulator
        self.config = folder / "config.yaml"
        self.sessions = folder / "sessions.yaml"
        self._url = url
        self.write_config()
        self.write_sessions()

    def write_config(
        self, *, listen: str = "127.0.0.1:0", more: str = "", name: str = "lab"
    ) -> None:
        self.config.write_text(
            f"vcenters:\n"
            f"  {name}:\n"
            f"    url: {self._url}\n"
            f"    username: {self.simulator.username}\n"
            f"    password_env: {PASSWORD_VARIABLE}\n"
            f"    session_timeout: {LIFETIME}\n"
            f"{more}"
            f"session_files: [{self.sessions}]\n"
            f"http: {{listen: '{listen}'}}\n"
            f"log: {{level: debug}}\n"
        )

    def write_sessions(self, *ids: str) -> None:
        lines = [f"- {{id: '{each}'}}\n" for each in ids]
        self.sessions.write_text("sessions:\n" + "".join(lines) if ids else "sessions: []\n")

    def open(self) -> str:
        """Open a session, which lives as the others do from its first renewal on."""
        with self.simulator.library.sessions.shortened(PATIENCE, announced=True):
            return self.simulator.open_session()

    def keep_alives(self, session_id: str) -> list[float]:
        requests = self.simulator.ledger.requests("*.keep_alive", session_id=session_id)
        return [entry.time for entry in requests]

    def longest_gap(self, session_id: str) -> float:
        """Return the longest time between two renewals, in seconds."""
        return max(later - earlier for earlier, later in pairwise(self.keep_alives(session_id)))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    simulator = Simulator(session_timeout=LIFETIME)
    async with serve_simulator(simulator) as url:
        yield Site(simulator, url, tmp_path)


async def test_a_session_outlives_its_lifetime_and_progress_and_names_are_told(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.until(lambda: len(site.keep_alives(held)) >= 5, seconds=30)
        record = site.simulator.ledger.session(held)
        assert record.ended is None
        assert site.longest_gap(held) < LIFETIME
        metrics = await daemon.metrics()
        assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1
        assert metrics["clkeepalived_vcenter_up", "lab"] == 1
        assert metrics["clkeepalived_keep_alives_total", "ok", "lab"] >= 5


async def test_a_new_line_starts_at_once_and_a_vanished_one_lets_go(site: Site) -> None:
    first = site.open()
    site.write_sessions(first)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=first)
        second = site.open()
        site.write_sessions(second)
        await daemon.event("first_renewal", session_id=second)
        ended = await daemon.event("session_ended", session_id=first)
        assert ended["state"] == "RELEASED"
        assert ended["level"] == "info"
        assert site.simulator.ledger.requests("*.cancel") == []


async def test_sigterm_renews_once_more_and_logs_out(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        await daemon.until(lambda: len(site.keep_alives(held)) >= 2)
        await asyncio.sleep(0.3 * LIFETIME)  # Less than three quarters are left from here on.
        before = len(site.keep_alives(held))
        daemon.send(signal.SIGTERM)
        assert await daemon.end() == 0
        assert len(site.keep_alives(held)) == before + 1
        assert len(site.simulator.ledger.requests("session.delete")) == 1
        assert daemon.events[-1]["event"] == "stopped"


async def test_a_restart_renews_at_once_and_loses_nothing(site: Site) -> None:
    # Long enough for a start on a busy machine, and not for two of them without a renewal.
    site.simulator.library.sessions.timeout = lifetime = 3 * LIFETIME
    held = [site.open() for _ in range(3)]
    site.write_sessions(*held)
    for _ in range(3):
        async with serving(site.config, site.simulator.password) as daemon:
            for session_id in held:
                await daemon.event("first_renewal", session_id=session_id)
            daemon.send(signal.SIGTERM)
            assert await daemon.end() == 0
    for session_id in held:
        assert site.simulator.ledger.session(session_id).ended is None
        assert site.longest_gap(session_id) < lifetime


async def test_a_second_sigterm_ends_at_once(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        site.simulator.faults.add(Hang())
        await asyncio.sleep(0.3 * LIFETIME)
        daemon.send(signal.SIGTERM)
        await daemon.event("stopping")
        daemon.send(signal.SIGTERM)
        assert await daemon.end(seconds=3) == 0


async def test_sighup_swaps_a_good_configuration_in_and_touches_nothing_else(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        site.write_config(more="    max_in_flight: 3\n    observe: minimal\n")
        daemon.send(signal.SIGHUP)
        await daemon.event("reloaded")
        count = len(site.keep_alives(held))
        await daemon.until(lambda: len(site.keep_alives(held)) >= count + 2)
        metrics = await daemon.metrics()
        assert metrics["clkeepalived_config_last_reload_successful",] == 1
        assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1
        assert site.longest_gap(held) < LIFETIME
        assert not [each for each in daemon.events if each["event"] == "session_ended"]


async def test_sighup_refuses_a_broken_configuration_and_keeps_the_old(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        site.write_config(more="    sesion_timeout: 5\n")
        daemon.send(signal.SIGHUP)
        failed = await daemon.event("reload_failed")
        assert "session_timeout" in str(failed["problems"])
        metrics = await daemon.metrics()
        assert metrics["clkeepalived_config_last_reload_successful",] == 0
        count = len(site.keep_alives(held))
        await daemon.until(lambda: len(site.keep_alives(held)) >= count + 2)


async def test_sighup_names_what_needs_a_restart_and_applies_the_rest(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        assert ("clkeepalived_session_lifetime_seconds", held, "lab") in await daemon.metrics()
        site.write_config(
            listen="127.0.0.1:1",
            more="    observe: state\nmetrics: {session_labels: false}\n",
        )
        later = site.open()
        site.write_sessions(held, later)
        daemon.send(signal.SIGHUP)
        refused = await daemon.event("restart_needed")
        assert "http" in str(refused["settings"])
        await daemon.event("reloaded")
        await daemon.event("first_renewal", session_id=later)
        metrics = await daemon.metrics()
        assert metrics["clkeepalived_vcenter_up", "lab"] == 1
        assert not [name for name, *labels in metrics if held in labels]


async def test_sighup_takes_a_vcenter_away_and_another_in(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held, vcenter="lab")
        site.write_config(name="other")
        daemon.send(signal.SIGHUP)
        await daemon.event("first_renewal", session_id=held, vcenter="other")
        await daemon.event("reloaded")
        ended = await daemon.event("session_ended", session_id=held, vcenter="lab")
        assert ended["state"] == "RELEASED"
        metrics = await daemon.metrics()
        assert ("clkeepalived_vcenter_up", "lab") not in metrics
        assert metrics["clkeepalived_sessions", "ACTIVE", "other"] == 1


async def test_a_bad_configuration_ends_with_78_and_every_problem(site: Site) -> None:
    site.write_config(more="    max_in_flight: none\n    dialekt: api\n")
    async with serving(site.config) as daemon:
        assert await daemon.end() == 78
        text = "".join(daemon.other_lines)
        assert "config.yaml:7: vcenters.lab.max_in_flight" in text
        assert "dialect" in text


async def test_an_address_in_use_is_named(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        site.write_config(listen=address)
        async with serving(site.config, site.simulator.password) as daemon:
            assert await daemon.end() == 1
            assert address in "".join(daemon.other_lines)


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("socket: /nowhere/control.sock", "/nowhere/control.sock.lock: No such file"),
        ("socket: /sys/control.sock", "/sys/control.sock.lock: "),
        (f"socket: /tmp/{'x' * 120}", "has 125 bytes, and that of a socket may have 107"),
        ("admin_group: no-such-group", "control.admin_group: there is no group"),
        ("socket_group: no-such-group", "control.socket_group: there is no group"),
    ],
)
async def test_a_socket_that_cannot_be_had_is_named_in_a_line(
    site: Site, tmp_path: Path, control: str, words: str
) -> None:
    if "socket:" not in control:
        control += f", socket: {tmp_path}/control.sock"
    with site.config.open("a") as config:
        config.write(f"control: {{{control}}}\n")
    async with serving(site.config, site.simulator.password) as daemon:
        assert await daemon.end() == 1
        (line,) = daemon.other_lines
        assert words in line


async def test_a_socket_in_use_is_named_in_a_line(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with site.config.open("a") as config:
        config.write(f"control: {{socket: {path}}}\n")
    async with serving(site.config, site.simulator.password) as first:
        await first.event("ready")
        async with serving(site.config, site.simulator.password) as second:
            assert await second.end() == 1
            (line,) = second.other_lines
            assert line.startswith(f"another daemon listens on {path}; stop it first")
        assert path.is_socket()


async def test_what_was_discovered_and_released_stays_released(site: Site, tmp_path: Path) -> None:
    found = site.open()
    path = tmp_path / "control.sock"
    site.write_config(more="    discover: true\n")
    with site.config.open("a") as config:
        config.write(f"control: {{socket: {path}}}\n")
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=found)
        shown = await run(path, "status", found)
        released = await run(path, "release", found)
        ended = await daemon.event("session_ended", session_id=found)
        renewals, ledger = len(site.keep_alives(found)), site.simulator.ledger
        looks = len(ledger.requests("update_session.list"))
        await daemon.until(lambda: len(ledger.requests("update_session.list")) >= looks + 3)
    assert "discovered: while it moves" in shown.out
    assert (released.code, ended["state"]) == (0, "RELEASED")
    assert len(site.keep_alives(found)) == renewals


async def test_no_secret_is_ever_written(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        site.simulator.restart(lose_tokens=True)
        count = len(site.keep_alives(held))
        await daemon.until(lambda: len(site.keep_alives(held)) >= count + 2)
        tokens = [token for token in site.simulator.logins._tokens]
        written = str(daemon.events) + "".join(daemon.other_lines) + str(await daemon.metrics())
        assert tokens
        for secret in (site.simulator.password, *tokens):
            assert secret not in written
