"""A smoke test of the installed command, from the wheel as much as from a checkout."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.resources
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve as serve_simulator
from tests.support.cli import Ran, line_of
from tests.support.daemon import PASSWORD_VARIABLE, serving

COMMAND = Path(sys.executable).parent / "clkeepalived"
DISTRIBUTION = "content-library-keepalived"


class Site:
    """A simulator, a configuration that names it, and the installed command."""

    def __init__(self, simulator: Simulator, url: str, folder: Path) -> None:
        self.simulator = simulator
        self.url = url
        self.config = folder / "config.yaml"
        self.sessions = folder / "sessions.yaml"
        self.sessions.write_text("sessions: []\n")
        self.config.write_text(
            f"vcenters:\n"
            f"  lab:\n"
            f"    url: {url}\n"
            f"    username: {simulator.username}\n"
            f"    password_env: {PASSWORD_VARIABLE}\n"
            f"session_files: [{self.sessions}]\n"
            f"control: {{socket: {folder / 'control.sock'}}}\n"
            f"state: {{path: {folder / 'state.db'}}}\n"
            f"http: {{listen: '127.0.0.1:0'}}\n"
        )
        self._environment = {
            **os.environ,
            PASSWORD_VARIABLE: simulator.password,
            "CLKEEPALIVED_SOCKET": str(folder / "control.sock"),
        }

    async def run(self, *words: str, program: str | Path = COMMAND, **environ: str) -> Ran:
        """Run a command to its end."""
        environment = {**self._environment, **environ}
        process = await asyncio.create_subprocess_exec(
            program, *words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    simulator = Simulator()
    async with serve_simulator(simulator) as url:
        yield Site(simulator, url, tmp_path)


async def test_it_says_its_version(site: Site) -> None:
    ran = await site.run("--version")
    version = importlib.metadata.version(DISTRIBUTION)
    assert (ran.code, ran.out.strip()) == (0, f"clkeepalived, version {version}"), ran


@pytest.mark.parametrize("command", ["serve", "exec", "hold", "status", "probe"])
async def test_commands_have_help(site: Site, command: str) -> None:
    ran = await site.run(command, "--help")
    assert ran.code == 0, ran
    assert ran.out.startswith(f"Usage: clkeepalived {command}")


async def test_a_good_configuration_is_accepted(site: Site) -> None:
    ran = await site.run("check-config", "--connect", str(site.config))
    assert ran.code == 0, ran


async def test_a_bad_configuration_is_refused_with_its_line(site: Site) -> None:
    site.config.write_text("vcenters: {}\nsession_file: x.yaml\n")
    ran = await site.run("check-config", str(site.config))
    assert ran.code == 78, ran
    assert f"{site.config}:2" in ran.out + ran.err


async def test_the_daemon_keeps_what_files_and_callers_name(site: Site) -> None:
    named, held = site.simulator.open_session(), site.simulator.open_session()
    site.sessions.write_text(f"sessions: [{{id: '{named}', progress: 10}}]\n")
    async with serving(site.config, site.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=named)
        ran = await site.run("hold", held, "--ttl", "1h")
        assert ran.code == 0, ran
        await daemon.event("first_renewal", session_id=held)
        listed = json.loads((await site.run("status", "--json")).out)
        assert {each["id"] for each in listed["sessions"]} == {named, held}
        assert (await daemon.metrics())["clkeepalived_sessions", "ACTIVE", "lab"] == 2
        ran = await site.run("release", held)
        assert ran.code == 0, ran
        daemon.send(signal.SIGTERM)
        assert await daemon.end() == 0
    assert site.simulator.ledger.session(named).ended is None


async def test_exec_returns_the_exit_code_of_its_command(site: Site) -> None:
    ran = await site.run("exec", "--config", str(site.config), "--", "sh", "-c", "exit 7")
    assert ran.code == 7, ran


async def test_a_script_holds_a_session(site: Site) -> None:
    session_id = site.simulator.open_session()
    script = (
        "import os, sys, keepalived\n"
        "url, session, username = sys.argv[1:]\n"
        f"password = os.environ[{PASSWORD_VARIABLE!r}]\n"
        "with keepalived.hold(url, session, username=username, password=password):\n"
        "    print('held')\n"
    )
    arguments = (site.url, session_id, site.simulator.username)
    ran = await site.run("-c", script, *arguments, program=sys.executable)
    assert (ran.code, ran.out) == (0, "held\n"), ran
    assert site.simulator.ledger.requests("*.keep_alive", session_id=session_id)


@asynccontextmanager
async def _simulating() -> AsyncIterator[dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        COMMAND, "simulate", "--listen", "127.0.0.1:0", stdout=PIPE
    )
    try:
        yield json.loads(await line_of(process.stdout))
    finally:
        process.terminate()
        await process.communicate()


async def test_the_simulator_serves_what_it_prints(site: Site) -> None:
    async with _simulating() as printed:
        config = site.config.read_text().replace(site.url, printed["url"])
        site.config.write_text(config.replace(site.simulator.username, printed["username"]))
        password = {PASSWORD_VARIABLE: printed["password"]}
        ran = await site.run("check-config", "--connect", str(site.config), **password)
        assert ran.code == 0, ran


async def test_the_completion_for_a_shell_is_printed(site: Site) -> None:
    ran = await site.run("completion", "bash")
    assert ran.code == 0, ran
    assert "_CLKEEPALIVED_COMPLETE" in ran.out


def test_type_checkers_find_the_marker() -> None:
    assert importlib.resources.files("keepalived").joinpath("py.typed").is_file()
