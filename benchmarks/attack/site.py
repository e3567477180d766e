"""Where the attack takes place: the daemons, their files, and who may do what to them."""

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
"""Seconds that a session lives without activity: short, so that much is renewed in few minutes."""

RETENTION = 3.0
"""Seconds that an ended session stays visible: short, so that what attackers took is forgotten
before the memory is looked at again."""

_VARIABLE = "ATTACK_PASSWORD"
_PROBE = Path(__file__).parent / "probe"
_READY_SECONDS = 120.0
_PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class User:
    """Whom a helper process becomes; None for whoever runs this."""

    uid: int | None = None
    gid: int | None = None

    @property
    def order(self) -> dict[str, int | None]:
        """The part of a helper's order that says so."""
        return {"uid": self.uid, "gid": self.gid}


@dataclass(frozen=True)
class Users:
    """The users of the machine, and the group of the control socket, if there are any to be had.

    Other users than one's own are had by root alone. Without them, attackers are the daemon's own
    user, and may do everything.
    """

    honest: User = User()
    of_files: User = User()
    of_requests: User = User()
    hostile: User = User()
    group: str | None = None

    @property
    def are_others(self) -> bool:
        """Whether the attackers are other users than the daemon's."""
        return self.group is not None


_FIRST_UID = 65530
"""Of four users that nobody has elsewhere; nothing is written in their names but in a folder of
the run."""


def users() -> Users:
    """Return the users that there are for this run."""
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
        """Its exit code, or minus the number of the signal that ended it; None while it runs."""
        return None if self.process is None else self.process.returncode

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self.process is None or self.exit_code is not None

    def know_password(self, password: str) -> None:
        """Set what the honest vCenter's password is, from the next start on."""
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
                    raise RuntimeError(f"the daemon ended at once: {self.last_words()}")
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        assert self.process is not None
        if not self.has_ended:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """End it, and return its exit code."""
        assert self.process is not None
        if not await end(self.process, 20.0):
            self.complaints.append("the daemon did not stop within 20 s")
        return self.process.returncode or 0

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.process is not None and not self.has_ended:
            self.process.send_signal(number)

    def memory(self) -> int:
        """Return the bytes that it has resident."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    return 1024 * int(line.split()[1])
        return 0

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has taken."""
        with suppress(OSError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    async def stops(self) -> Stops:
        """Ask for the stops of its loop since they were last counted anew."""
        told = self.environ["ATTACK_PROBE"]
        os.truncate(told, 0)
        self.signal(signal.SIGUSR2)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_SECONDS):
                while not (words := _text(told)):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.02)
            return Stops.told(json.loads(words))
        return Stops()

    def events(self, beginning: int = 0) -> Iterator[dict[str, Any]]:
        """Return the log from a byte on; a line that is no JSON becomes a complaint."""
        with self.log.open("rb") as log:
            log.seek(beginning)
            for line in log:
                try:
                    yield json.loads(line)
                except ValueError:
                    if line.endswith(b"\n"):
                        words = line.decode(errors="replace").strip()
                        self.complaints.append(f"the log says: {words}")

    def last_words(self) -> str:
        """Return the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-20:])


@dataclass
class Site:
    """The folder of a run, and what is in it."""

    folder: Path
    users: Users
    attacked: Daemon
    idle: Daemon

    def __post_init__(self) -> None:
        self.watched = self.folder / "sessions.d"
        """The folder of session files that everybody may write to."""
        self.of_attacker = self.folder / "attacker"
        """A folder for an attacker's other files."""
        self.password_file = self.folder / "password"
        """The password of the hostile vCenter."""


def a_site(folder: Path, who: Users, stacks: Path | None) -> Site:
    """Furnish a folder for two daemons."""
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
    """Return a daemon's configuration: the honest vCenter `lab`, and `bad`, if there is a hostile
    one.

    `held` are the sessions that it names, each with its vCenter.
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
            "username": "somebody",
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
    "vcenters: {lab: {url: ~nobody-of-this-name/x}}\n",
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
    """Let a pipe that nobody writes to stand in the place of a file."""
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
    """Run a daemon until the block is left; yield the seconds until it was ready."""
    try:
        yield await daemon.start()
    finally:
        if daemon.process is not None:
            await daemon.stop()
