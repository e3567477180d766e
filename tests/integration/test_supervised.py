"""The real daemon under a supervisor that its environment names."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.support.daemon import serving
from tests.support.supervisor import supervising


def write_config(folder: Path, more: str = "") -> Path:
    """Write a configuration whose vCenter is not there, and return its path."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    config = folder / "config.yaml"
    config.write_text(
        "vcenters:\n"
        f"  lab: {{url: 'http://127.0.0.1:{port}'}}\n"
        f"control: {{socket: {folder / 'control.sock'}}}\n"
        "http: {listen: '127.0.0.1:0'}\n" + more
    )
    return config


async def test_it_is_ready_without_a_vcenter_and_says_so_all_along(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with supervising(tmp_path) as supervisor:
        environ = {"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "600000"}
        async with serving(config, **environ) as daemon:
            await supervisor.until_said("READY")
            assert supervisor.statuses()[0] == "0 sessions"
            assert (tmp_path / "control.sock").is_socket()
            await supervisor.until_said("WATCHDOG", times=4)
            daemon.send(signal.SIGHUP)
            await supervisor.until_said("READY", times=2)
            assert supervisor.said("RELOADING") == 1
            config.write_text("vcenters: {}\n")
            daemon.send(signal.SIGHUP)
            await supervisor.until_said("READY", times=3)
            assert supervisor.statuses()[-1] == "0 sessions, the new configuration is invalid"
            daemon.send(signal.SIGTERM)
            await supervisor.until_said("STOPPING")
            assert await daemon.end() == 0


@pytest.mark.extended
async def test_a_daemon_that_is_stopped_gives_no_sign_of_life(tmp_path: Path) -> None:
    with supervising(tmp_path) as supervisor:
        environ = {"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "300000"}
        async with serving(write_config(tmp_path), **environ) as daemon:
            await supervisor.until_said("WATCHDOG", times=2)
            daemon.send(signal.SIGSTOP)
            before = supervisor.said("WATCHDOG")
            with pytest.raises(AssertionError):
                await supervisor.until_said("WATCHDOG", times=before + 2, seconds=1)
            daemon.send(signal.SIGCONT)
            await supervisor.until_said("WATCHDOG", times=before + 2)


@pytest.mark.extended
async def test_it_ends_by_itself_when_idle(tmp_path: Path) -> None:
    async with serving(write_config(tmp_path, "exit_when_idle: 1.5\n")) as daemon:
        assert await daemon.end() == 0
        assert "idle" in [event["event"] for event in daemon.events]


@pytest.mark.extended
async def test_without_a_supervisor_nothing_is_different(tmp_path: Path) -> None:
    async with serving(write_config(tmp_path), NOTIFY_SOCKET=str(tmp_path / "gone")) as daemon:
        await daemon.event("ready")
        daemon.send(signal.SIGTERM)
        assert await daemon.end() == 0
