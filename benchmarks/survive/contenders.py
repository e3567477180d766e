"""Who keeps the sessions alive: nobody, the loop people write, VMware's SDK, the daemon."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.survive.processes import SystemdNotifier
from keepalived.demo.serving import serve_command


class Name(StrEnum):
    """The contenders, as the table heads its columns."""

    NOBODY = "no keeper"
    LOOP = "loop"
    SDK = "VMware's SDK"
    DAEMON = "clkeepalived"


@dataclass(frozen=True)
class Task:
    """What a contender has to know, and where it lives. Times are seconds.

    `prefix` goes before its command, and `extra` into its environment. `threads` is how many
    threads a rival keeps its sessions with, 0 for one each.
    """

    folder: Path
    url: str
    username: str
    password: str
    ca: bytes
    lifetime: float
    prefix: tuple[str, ...] = ()
    extra: Mapping[str, str] | None = None
    threads: int = 0

    @property
    def password_file(self) -> Path:
        """The file that holds the password."""
        return self.folder / "password"

    @property
    def ca_file(self) -> Path:
        """The file that holds the authority to trust."""
        return self.folder / "ca.pem"


class Contender:
    """One contender at work. `log` is what its program says, and empty for nobody."""

    def __init__(self, name: Name, task: Task) -> None:
        self.name = name
        self.task = task
        self.program: SystemdNotifier | None = None

    async def start(self) -> None:
        """Start its program, where it has one, and wait until it is ready."""
        task = self.task
        self.write(task.password_file, task.password.encode())
        self.write(task.ca_file, task.ca)
        if self.name is Name.NOBODY:
            return
        command = self._daemon() if self.name is Name.DAEMON else self._rival(self.name)
        extra = {**(task.extra or {}), "PYTHONUNBUFFERED": "1"}
        self.program = SystemdNotifier((*task.prefix, *command), task.folder / "log", extra)
        await self.program.start()

    def keep(self, session_ids: Iterable[str]) -> None:
        """Tell it which sessions to keep; it notices by itself."""
        if self.name is Name.DAEMON:
            lines = [f"  - id: '{each}'\n" for each in session_ids]
            self.write(self._session_file, ("sessions:\n" + "".join(lines)).encode())
        else:
            self.write(self._ids, json.dumps(list(session_ids)).encode())

    async def stop(self) -> None:
        """End its program."""
        if self.program is not None:
            await self.program.stop()

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file of its folder at once."""
        beside = path.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_bytes(content)
        beside.replace(path)

    @property
    def _session_file(self) -> Path:
        return self.task.folder / "sessions.yaml"

    @property
    def _ids(self) -> Path:
        return self.task.folder / "sessions.json"

    def _daemon(self) -> tuple[str, ...]:
        task, folder = self.task, self.task.folder
        self.write(self._session_file, b"sessions: []\n")
        settings = {
            "vcenters": {
                "survive": {
                    "url": task.url,
                    "username": task.username,
                    "password_file": str(task.password_file),
                    "ca_file": str(task.ca_file),
                    "session_timeout": task.lifetime,
                }
            },
            "session_files": [str(self._session_file)],
            "http": {"listen": "127.0.0.1:0"},
            "control": {"socket": str(folder / "control.sock")},
            "state": {"path": str(folder / "state.db")},
            "log": {"format": "json", "level": "info"},
        }
        config = folder / "config.yaml"
        self.write(config, json.dumps(settings).encode())  # JSON is YAML
        return serve_command(config)

    def _rival(self, name: Name) -> tuple[str, ...]:
        task = self.task
        order = {
            "url": task.url,
            "username": task.username,
            "password_file": str(task.password_file),
            "ca_file": str(task.ca_file),
            "lifetime": task.lifetime,
            "sessions": str(self._ids),
            "threads": task.threads,
        }
        path = task.folder / "order.json"
        self.write(path, json.dumps(order).encode())
        program = "loop" if name is Name.LOOP else "sdk"
        return (sys.executable, "-m", f"benchmarks.survive.rivals.{program}", str(path))
