"""Fixtures for the control socket, the commands that use it, and `check-config`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepalived.cli.check_config import check_config
from keepalived.settings import loader
from tests.integration.simulator_support import write_certificate
from tests.support.check_config import Check
from tests.support.control import Caller, Control, caller, running_control
from tests.support.settings import SECRET


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    """A control socket over the engine and a simulated library."""
    async with running_control(tmp_path) as control:
        yield control


@pytest.fixture
async def me(control: Control) -> AsyncIterator[Caller]:
    """A client of `control`, of the user who runs the tests, with a connection that it keeps."""
    async with caller(control) as me:
        yield me


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path that a test writes its configuration to, and where it stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "nowhere.yaml")
    return Path("config.yaml")


@pytest.fixture
def check(config: Path) -> Check:
    """Write a configuration and check it."""

    def run(content: str | bytes | None, /, **environ: str) -> Result:
        if content is not None:
            config.write_bytes(content if isinstance(content, bytes) else content.encode())
        env = {"LAB_PASSWORD": SECRET, **environ}
        result = CliRunner().invoke(check_config, [str(config)], env=env)
        assert SECRET not in result.output
        return result

    return run


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate and its key in one file, for 127.0.0.1 and localhost."""
    return write_certificate(tmp_path / "server.pem")
