"""clkeepalived installed in a machine with systemd, with a simulator on the same network."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from keepalived.simulator.app import Simulator
from tests.system.machine import SHARED, Machine

SERVICE = "clkeepalived.service"
SOCKET = "/run/clkeepalived/control.sock"
CONFIG = "/etc/clkeepalived/config.yaml"
DROP_INS = f"/run/systemd/system/{SERVICE}.d"
MEMBERS = ("alice", "bob")
OUTSIDER = "carol"

_CURL = f"curl --silent --show-error --fail --unix-socket {SOCKET} http://localhost"


async def install(machine: Machine) -> None:
    """Install from the bundle in the shared folder, and let two people in."""
    await machine.must(f"{SHARED}/bundle/install")
    for user in (*MEMBERS, OUTSIDER):
        await machine.must(f"useradd --create-home {user}")
    for user in MEMBERS:
        await machine.must(f"usermod --append --groups clkeepalived {user}")


@dataclass
class Site:
    """The service, as an administrator and as uploaders see it."""

    machine: Machine
    simulator: Simulator
    url: str
    lifetime: float

    async def prepare(self) -> None:
        """Put everything back to a fresh installation that is configured, and not started."""
        await self.machine.run(f"systemctl stop clkeepalived.socket {SERVICE}")
        await self.machine.run("systemctl reset-failed 'clkeepalived.*'")
        await self.machine.must(f"rm -rf /var/lib/clkeepalived/* {DROP_INS}")
        await self.machine.must("systemctl daemon-reload")
        await self.configure()
        secret = self.simulator.password + "\n"
        await self.machine.write("/etc/clkeepalived/credentials/lab", secret, 0o600)

    async def configure(self, more: str = "") -> None:
        await self.machine.write(
            CONFIG,
            "vcenters:\n"
            "  lab:\n"
            f"    url: {self.url}\n"
            f"    username: {self.simulator.username}\n"
            "    credential: vcenter_lab\n"
            f"    session_timeout: {self.lifetime}\n"
            "http: {listen: '127.0.0.1:0'}\n" + more,
        )

    async def drop_in(self, text: str) -> None:
        """Change the service, before it is started."""
        await self.machine.write(f"{DROP_INS}/test.conf", text)
        await self.machine.must("systemctl daemon-reload")

    async def start(self) -> None:
        """Start the service, and say what it said where it does not start."""
        show = f"journalctl -u {SERVICE} -b -n 30 -o cat >&2"
        await self.machine.must(f"systemctl start {SERVICE} || ({show}; false)")

    async def open(self, count: int = 1, *, user: str = "alice") -> list[str]:
        """Open sessions, and have a user hold them until they are released."""
        opened = [self.simulator.open_session() for _ in range(count)]
        holds = " && ".join(f"clkeepalived hold {each} --no-owner" for each in opened)
        await self.machine.must(holds, user=user)
        return opened

    async def sessions(self, *, user: str | None = None) -> dict[str, dict[str, Any]]:
        """Return what the socket tells a user of sessions."""
        text = await self.machine.must(f"{_CURL}/v1/sessions", user=user)
        return {each["id"]: each for each in json.loads(text)["sessions"]}

    async def pid(self) -> int:
        return int(await self.machine.show(SERVICE, "MainPID"))

    async def until_replaced(self, pid: int, *, seconds: float = 30.0) -> int:
        """Wait until the service runs again under another number than that one."""
        ready = f"systemctl is-active {SERVICE} && test $(systemctl show --value -p MainPID"
        await self.machine.until(f"{ready} {SERVICE}) != {pid}", seconds=seconds)
        return await self.pid()

    def lost(self, sessions: list[str]) -> list[str]:
        """Return those of the sessions that the server has ended."""
        ledger = self.simulator.ledger
        return [each for each in sessions if ledger.session(each).ended is not None]

    def renewals(self, sessions: list[str]) -> dict[str, int]:
        """Return how often each session has been renewed so far."""
        return {each: self._renewals(each) for each in sessions}

    async def until_renewed(
        self, sessions: list[str], *, since: dict[str, int] | None = None, seconds: float = 20.0
    ) -> None:
        """Wait until each session has been renewed once more, than then or than by now."""
        end = time.monotonic() + seconds
        counts = self.renewals(sessions) if since is None else since
        while any(self._renewals(each) <= count for each, count in counts.items()):
            assert time.monotonic() < end, f"not renewed within {seconds} s"
            await self.machine.run("sleep 0.1")

    def _renewals(self, session: str) -> int:
        return len(self.simulator.ledger.requests("*.keep_alive", session_id=session))

    async def journal(self, arguments: str) -> list[dict[str, Any]]:
        """Return entries of this service's journal."""
        await self.machine.must("journalctl --sync")
        text = await self.machine.must(f"journalctl -u {SERVICE} -b -o json --no-pager {arguments}")
        return [json.loads(line) for line in text.splitlines()]
