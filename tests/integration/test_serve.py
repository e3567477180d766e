"""The real daemon as a process, against the simulator over HTTP: signals and exit codes.

What it does as time passes is shown on the fake clock, by tests/unit/test_daemon_sessions.py.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Hang
from keepalived.simulator.server import serve as serve_simulator
from tests.support.daemon import PASSWORD_VARIABLE, serving

LIFETIME, SERVED = 4.0, 600.0
"""The configured and the actual lifetime of sessions: the daemon renews often, yet a busy machine
loses none."""

extended = pytest.mark.extended


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
            f"    request_timeout: {SERVED}\n"
            f"session_files: [{self.sessions}]\n"
            f"http: {{listen: '{listen}'}}\n"
            f"log: {{level: debug}}\n"
        )

    def write_sessions(self, *ids: str) -> None:
        lines = [f"- {{id: '{each}'}}\n" for each in ids]
        self.sessions.write_text("sessions:\n" + "".join(lines) if ids else "sessions: []\n")

    def open(self) -> str:
        """Open a session, and return its id."""
        return self.simulator.open_session()

    def keep_alives(self, session_id: str) -> list[float]:
        requests = self.simulator.ledger.requests("*.keep_alive", session_id=session_id)
        return [entry.time for entry in requests]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    simulator = Simulator(session_timeout=SERVED)
    async with serve_simulator(simulator) as url:
        yield Site(simulator, url, tmp_path)


async def test_it_starts_renews_reloads_and_ends(site: Site) -> None:
    first, second = site.open(), site.open()
    site.write_sessions(first)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=first)
        metrics = await daemon.metrics()
        assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1
        assert metrics["clkeepalived_vcenter_up", "lab"] == 1

        site.write_config(more="    sesion_timeout: 5\n")
        daemon.send(signal.SIGHUP)
        failed = await daemon.event("reload_failed")
        assert "session_timeout" in str(failed["problems"])

        site.write_config(more="    max_in_flight: 3\n")
        site.write_sessions(first, second)
        daemon.send(signal.SIGHUP)
        await daemon.event("reloaded")
        await daemon.event("first_renewal", session_id=second)
        assert (await daemon.metrics())["clkeepalived_config_last_reload_successful",] == 1

        for session_id in (first, second):
            count = len(site.keep_alives(session_id))
            await daemon.until(lambda: len(site.keep_alives(session_id)) > count)  # noqa: B023
        daemon.send(signal.SIGTERM)
        assert await daemon.end() == 0
    # Of the vCenter as it was configured at first, and as it is now.
    assert len(site.simulator.ledger.requests("session.delete")) == 2
    assert not [each for each in daemon.events if each["event"] == "session_ended"]
    assert daemon.events[-1]["event"] == "stopped"
    assert site.simulator.password not in str(daemon.events) + "".join(daemon.other_lines)


@extended
async def test_a_second_signal_ends_at_once(site: Site) -> None:
    held = site.open()
    site.write_sessions(held)
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=held)
        site.simulator.faults.add(Hang(), route="*.keep_alive")
        asked = len(site.keep_alives(held))
        # One that no answer comes to, and that the end would wait for.
        await daemon.until(lambda: len(site.keep_alives(held)) > asked)
        daemon.send(signal.SIGTERM)
        daemon.send(signal.SIGINT)
        assert await daemon.end() == 0
    # Nor has it logged out, which comes after the last renewals.
    assert site.simulator.ledger.requests("session.delete") == []


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


@extended
@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("socket: /nowhere/control.sock", "/nowhere/control.sock.lock: No such file"),
        ("socket: /sys/control.sock", "/sys/control.sock.lock: "),
        (f"socket: /tmp/{'x' * 120}", "has 125 bytes, but a socket's may have only 107"),
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
    assert not (tmp_path / "control.sock").exists()


@extended
async def test_a_socket_in_use_is_named_in_a_line(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with site.config.open("a") as config:
        config.write(f"control: {{socket: {path}}}\n")
    async with serving(site.config, site.simulator.password) as first:
        await first.event("ready")
        async with serving(site.config, site.simulator.password) as second:
            assert await second.end() == 1
            (line,) = second.other_lines
            assert line.startswith(f"another daemon listens on {path}; stop it")
        assert path.is_socket()
