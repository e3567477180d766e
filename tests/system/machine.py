"""A machine with systemd as PID 1: a Debian tree in systemd-nspawn, on the host's network.

The tests drive it through an agent, see `machine_agent`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.system import debian

AGENT = Path(__file__).with_name("machine_agent.py")
SHARED = "/shared"
"""Where the machine sees the folder that it shares with the host."""

_BOOT_SECONDS = 60.0
_STOP_SECONDS = 30.0
_UNIT = f"""\
[Unit]
Description=Does what the tests ask for

[Service]
ExecStart=/usr/bin/python3 {SHARED}/agent.py {SHARED}/agent.sock

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return self.out + self.err


class Machine:
    """One machine. Between `boot` and `stop` it executes commands."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.shared = folder / "shared"
        self._console = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.shared.mkdir()
        debian.unpack(self.root)
        shutil.copy(AGENT, self.shared / "agent.py")
        self._furnish()

    def _furnish(self) -> None:
        units = self.root / "etc/systemd/system"
        (units / "agent.service").write_text(_UNIT)
        wanted = units / "multi-user.target.wants"
        wanted.mkdir(exist_ok=True)
        (wanted / "agent.service").symlink_to("../agent.service")
        # Logins, package downloads and waiting for the network are not needed.
        for unit in ("console-getty", "apt-daily", "apt-daily-upgrade", "systemd-networkd"):
            (units / f"{unit}.service").symlink_to("/dev/null")
        # A journal of many entries in a short time is what some tests make.
        limits = self.root / "etc/systemd/journald.conf.d"
        limits.mkdir(exist_ok=True)
        (limits / "tests.conf").write_text("[Journal]\nStorage=persistent\nRateLimitBurst=0\n")

    async def boot(self) -> None:
        """Start the machine, and wait until it executes commands."""
        (self.shared / "agent.sock").unlink(missing_ok=True)
        process = self._process = self._spawn()
        end = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            try:
                await self.run("true")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
        raise AssertionError(f"the machine did not start: {self._console.read_text()[-2000:]}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._console.open("ab") as console:
            return subprocess.Popen(
                [
                    "systemd-nspawn",
                    "--quiet",
                    "--boot",
                    "--register=no",
                    "--keep-unit",
                    "--console=pipe",
                    f"--machine=clk-{os.getpid()}",
                    f"--directory={self.root}",
                    f"--bind={self.shared}:{SHARED}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def reboot(self) -> None:
        """Shut it down in order, and start it again."""
        with suppress(OSError, ValueError):  # it may be gone before it has answered
            await self.run("systemctl reboot")
        await asyncio.to_thread(self._wait)
        await self.boot()

    def stop(self) -> None:
        """Shut it down, in order if it can be. Idempotent."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)  # which nspawn makes an orderly power-off
        try:
            self._wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(_STOP_SECONDS)

    async def run(
        self, command: str, *, user: str | None = None, given: str = "", seconds: float = 60.0
    ) -> Said:
        """Run a shell command in the machine, as root or as a user with all of its groups."""
        words = ["/bin/sh", "-c", command]
        if user is not None:
            words = ["/sbin/runuser", "-u", user, "--", *words]
        reader, writer = await asyncio.open_unix_connection(self.shared / "agent.sock")
        try:
            asked = {"command": words, "input": given, "seconds": seconds}
            writer.write(json.dumps(asked).encode() + b"\n")
            answer = json.loads(await reader.readline())
        finally:
            writer.close()
            await writer.wait_closed()
        return Said(**answer)

    async def must(self, command: str, *, user: str | None = None, given: str = "") -> str:
        """Run a command that has to succeed, and return what it wrote to its output."""
        said = await self.run(command, user=user, given=given)
        assert said.code == 0, f"{command!r} ended with {said.code}: {said.words}"
        return said.out

    async def until(self, command: str, *, seconds: float = 20.0) -> None:
        """Wait until a command succeeds."""
        end = time.monotonic() + seconds
        while (said := await self.run(command)).code != 0:
            if time.monotonic() > end:
                raise AssertionError(f"{command!r} did not succeed: {said.words}")
            await asyncio.sleep(0.1)

    async def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's."""
        place = shlex.quote(path)
        await self.must(f"install -D -m {mode:o} /dev/stdin {place}", given=text)

    async def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return (await self.must(f"systemctl show --value -p {name} {unit}")).strip()
