"""The setup of the attack: the daemons, their files, and the users of the machine."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.attack.verdict import Stops
from benchmarks.folder import DaemonFolder
from keepalived.demo.serving import end, serve_command

LIFETIME = 20.0
"""Seconds that a session lives without activity: short, so that a short run has many renewals."""

RETENTION = 3.0
"""Seconds that an ended session stays visible: short, so that the attackers' sessions are forgotten
before the memory is measured again."""

_VARIABLE = "ATTACK_PASSWORD"
_PROBE = Path(__file__).parent / "probe"
_READY_SECONDS = 120.0
_PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class User:
    """The user and group of a helper process; None for those of the run itself."""

    uid: int | None = None
    gid: int | None = None

    @property
    def order(self) -> dict[str, int | None]:
        """The entries of a helper's order for this user."""
        return {"uid": self.uid, "gid": self.gid}


@dataclass(frozen=True)
class Users:
    """The users of the helpers, and the group of the control socket.

    Only root can act as other users. Otherwise attackers run as the daemon's user, with all its
    rights.
    """

    honest: User = User()
    of_files: User = User()
    of_requests: User = User()
    hostile: User = User()
    group: str | None = None

    @property
    def are_others(self) -> bool:
        """Whether the attackers run as other users than the daemon."""
        return self.group is not None


_FIRST_UID = 65530
"""The first of four user ids that are otherwise unused. As these users, files are written only in
the folder of the run."""


def users() -> Users:
    """Return the users available to this run."""
    group = next((each for each in grp.getgrall() if each.gr_gid > 0), None)
    if os.geteuid() != 0 or group is None:
        return Users()
    honest, of_files, of_requests, hostile = (
        User(_FIRST_UID + number, group.gr_gid) for number in range(4)
    )
    return Users(honest, of_files, of_requests, hostile, group.gr_name)


@dataclass
class Daemon(DaemonFolder):
    """One daemon and its files. Its log grows over restarts."""

    environ: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    address: tuple[str, int] = ("", 0)
    complaints: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or minus the number of the fatal signal; None while the daemon runs."""
        return None if self.process is None else self.process.returncode

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self.process is None or self.exit_code is not None

    def know_password(self, password: str) -> None:
        """Set the honest vCenter's password, used from the next start on."""
        self.environ[_VARIABLE] = password

    async def start(self) -> float:
        """Start it, wait until it is ready, and return the seconds that took."""
        began = time.monotonic()
        said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *serve_command(self.config), stdout=log, stderr=log, env=self.environ
            )
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                for event in self.events(said_before):
                    if event.get("event") == "ready":
                        host, _, port = event["listen"].rpartition(":")
                        self.address = (host, int(port))
                        return time.monotonic() - began
                if self.has_ended:
                    raise RuntimeError(f"the daemon ended during its start: {self.log_tail()}")
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """Kill the daemon by SIGKILL."""
        assert self.process is not None
        if not self.has_ended:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Stop the daemon, and return its exit code."""
        assert self.process is not None
        if not await end(self.process, 20.0):
            self.complaints.append("the daemon did not stop within 20 s")
        return self.process.returncode or 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the daemon has ended."""
        if self.process is not None and not self.has_ended:
            self.process.send_signal(number)

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    return 1024 * int(line.split()[1])
        return 0

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        with suppress(OSError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    async def stops(self) -> Stops:
        """Return the stops of the daemon's loop since the measurement was last restarted."""
        output = self.environ["ATTACK_PROBE"]
        os.truncate(output, 0)
        self.signal(signal.SIGUSR2)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_SECONDS):
                while not (text := _text(output)):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.02)
            return Stops.from_dict(json.loads(text))
        return Stops()

    def events(self, beginning: int = 0) -> Iterator[dict[str, Any]]:
        """Return the log from an offset on; a line that is not JSON becomes a complaint."""
        with self.log.open("rb") as log:
            log.seek(beginning)
            for line in log:
                try:
                    yield json.loads(line)
                except ValueError:
                    if line.endswith(b"\n"):
                        text = line.decode(errors="replace").strip()
                        self.complaints.append(f"the log holds: {text}")

    def log_tail(self) -> str:
        """Return the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-20:])


@dataclass
class Site:
    """The folder of a run, with its daemons and files."""

    folder: Path
    users: Users
    attacked: Daemon
    idle: Daemon

    def __post_init__(self) -> None:
        self.watched = self.folder / "sessions.d"
        """The world-writable folder of session files."""
        self.of_attacker = self.folder / "attacker"
        """The folder for an attacker's other files."""
        self.password_file = self.folder / "password"
        """The password of the hostile vCenter."""


def a_site(folder: Path, who: Users, stacks: Path | None) -> Site:
    """Set up a folder for two daemons."""
    folder.chmod(0o755)
    daemons = []
    for name in ("attacked", "idle"):
        own = folder / name
        own.mkdir(mode=0o755)
        environ = {
            **os.environ,
            "PYTHONPATH": str(_PROBE),
            "ATTACK_PROBE": str(own / "probe.json"),
        }
        (own / "probe.json").touch()
        if stacks is not None and name == "attacked":
            environ["ATTACK_STACKS"] = str(stacks)
        daemons.append(Daemon(own, environ))
    site = Site(folder, who, *daemons)
    for path in (site.watched, site.of_attacker):
        path.mkdir(mode=0o755)
        uid, gid = who.of_files.uid, who.of_files.gid
        if uid is not None and gid is not None:
            os.chown(path, uid, gid)
    site.password_file.write_text("no-matter\n")
    return site


def configuration(
    site: Site,
    daemon: Daemon,
    honest: Mapping[str, str],
    hostile: str | None = None,
    held: Iterable[tuple[str, str]] = (),
) -> str:
    """Return a daemon's configuration: the honest vCenter `lab`, and the hostile `bad` if given.

    `held` are the sessions that the configuration lists, each with its vCenter.
    """
    vcenters: dict[str, Any] = {
        "lab": {
            "url": honest["url"],
            "username": honest["username"],
            "password_env": _VARIABLE,
            "session_timeout": LIFETIME,
        }
    }
    if hostile is not None:
        vcenters["bad"] = {
            "url": hostile,
            "username": "uploader",
            "password_file": str(site.password_file),
            "session_timeout": LIFETIME,
            "discover": True,
        }
    control: dict[str, str] = {"socket": str(daemon.socket)}
    if site.users.group is not None:
        control["socket_group"] = site.users.group
    settings = {
        "vcenters": vcenters,
        "sessions": [{"id": session_id, "vcenter": name} for name, session_id in held],
        "session_files": [f"{site.watched}/*.yaml" if hostile else f"{daemon.folder}/*.none"],
        "control": control,
        "state": {"path": str(daemon.folder / "state.db")},
        "http": {"listen": "127.0.0.1:0"},
        "log": {"format": "json"},
        "retention": {"ended": RETENTION, "failed": RETENTION},
    }
    return json.dumps(settings, indent=1) + "\n"  # JSON is YAML


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


BROKEN_CONFIGURATIONS = (
    "vcenters: {lab: {url: https://lab, session_timeout: %s}}\n" % ("9" * 400),
    "vcenters: {lab: {url: ~no-such-user/x}}\n",
    'vcenters: {lab: {url: https://lab, ca_file: "a\\0b"}}\n',
    "vcenters: {lab: {url: https://lab, !!bool x: 1}}\n",
    "vcenters: " + "[" * 50_000,
    "vcenters: &a {lab: *a}\n",
    "sesion_files: []\n",
    "\ufeff\x1b[2J",
    "",
    "vcenters: {1.5: null, null: 1.5}\n",
)


@contextmanager
def replaced_by_a_pipe(path: Path) -> Iterator[None]:
    """Replace a file by a pipe without a writer while the block runs."""
    text = path.read_text(encoding="utf-8")
    path.unlink()
    os.mkfifo(path)
    try:
        yield
    finally:
        path.unlink()
        path.write_text(text, encoding="utf-8")


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[float]:
    """Run a daemon while the block runs; yield the seconds until it was ready."""
    try:
        yield await daemon.start()
    finally:
        if daemon.process is not None:
            await daemon.stop()
