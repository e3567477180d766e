"""What README and docs print works as printed, and leads somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve as serve_simulator
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.printed import PAGES, ROOT
from tests.support.programs import needs


def block_after(text: str, mark: str, language: str) -> str:
    """Return the first code block of a language after a mark."""
    found = re.search(rf"```{language}\n(.*?)```", text[text.index(mark) :], re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_ten_lines_of_yaml_are_a_configuration(tmp_path: Path) -> None:
    text = block_after((ROOT / "README.md").read_text(), "## As a daemon", "yaml")
    assert len(text.splitlines()) <= 11
    secret = tmp_path / "lab.password"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    config = tmp_path / "clkeepalived.yaml"
    config.write_text(text)
    checked = subprocess.run(
        [sys.executable, "-m", "keepalived.cli", "check-config", str(config)],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
async def simulator() -> AsyncIterator[tuple[Simulator, str]]:
    simulator = Simulator(session_timeout=300.0)
    async with serve_simulator(simulator) as url:
        yield simulator, url


def configured(simulator: tuple[Simulator, str], folder: Path) -> Path:
    """Write the configuration of a daemon that works on the simulator, and return its path."""
    vcenter, url = simulator
    lab = {"url": url, "username": vcenter.username, "password_env": PASSWORD_VARIABLE}
    settings = {
        "vcenters": {"lab": lab},
        "control": {"socket": f"{folder}/control.sock"},
        "state": {"path": f"{folder}/state.db"},
        "http": {"listen": "127.0.0.1:0"},
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    return config


@asynccontextmanager
async def told_and_released(
    simulator: tuple[Simulator, str], folder: Path, progress: int
) -> AsyncIterator[str]:
    """Yield a session to a script beside a daemon; find it told of progress, and released."""
    vcenter, _ = simulator
    session_id = vcenter.open_session()
    async with serving(configured(simulator, folder), vcenter.password) as daemon:
        await daemon.event("ready")
        yield session_id
        sent = vcenter.ledger.requests("*.keep_alive", session_id=session_id)
        assert max(entry.client_progress or 0 for entry in sent) == progress
        # The shell that owned a hold is gone, and its hold with it.
        ended = await daemon.event("session_ended", session_id=session_id)
        assert ended["state"] == "RELEASED"


async def test_the_lines_of_the_command_line_do_what_they_say(
    simulator: tuple[Simulator, str], tmp_path: Path
) -> None:
    script = block_after((ROOT / "README.md").read_text(), "<!-- command line", "sh")
    async with told_and_released(simulator, tmp_path, progress=42) as session_id:
        here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {"CLKEEPALIVED_SOCKET": f"{tmp_path}/control.sock", "PATH": here}
        said = await run(script, ID=session_id, **environ)
        assert any("ACTIVE" in line for line in said), said


@needs("curl")
async def test_the_lines_of_curl_do_what_they_say(
    simulator: tuple[Simulator, str], tmp_path: Path
) -> None:
    script = block_after((ROOT / "docs/control-api.md").read_text(), "<!-- curl", "sh")
    async with told_and_released(simulator, tmp_path, progress=50) as session_id:
        printed = script.replace("curl -s", "curl -sS -w '\\n'")
        answers = await run(printed, CLKEEPALIVED_SOCKET=f"{tmp_path}/control.sock", ID=session_id)
        assert len(answers) == script.count("curl ")
        assert all('"type"' not in answer for answer in answers), answers


async def run(script: str, **environ: str) -> list[str]:
    """Run a script by sh, and return its lines."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()
