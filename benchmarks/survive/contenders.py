"""Run the contenders: no keeper, a simple loop, VMware's SDK, and the daemon."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.survive.processes import RestartedProgram
from keepalived.demo.serving import serve_command


class Name(StrEnum):
    """The contenders, named as in the table's head."""

    NO_KEEPER = "no keeper"
    LOOP = "loop"
    SDK = "VMware's SDK"
    DAEMON = "clkeepalived"


@dataclass(frozen=True)
class Task:
    """A contender's configuration. Times are seconds.

    `prefix` goes before its command, and `extra` into its environment. `threads` is the number of
    threads with which a rival keeps its sessions, 0 for one each.
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
    """One running contender. `log` is its program's output, empty without a keeper."""

    def __init__(self, name: Name, task: Task) -> None:
        self.name = name
        self.task = task
        self.program: RestartedProgram | None = None

    async def start(self) -> None:
        """Start its program, if it has one, and wait until it is ready."""
        task = self.task
        self.write(task.password_file, task.password.encode())
        self.write(task.ca_file, task.ca)
        if self.name is Name.NO_KEEPER:
            return
        command = self._daemon() if self.name is Name.DAEMON else self._rival(self.name)
        extra = {**(task.extra or {}), "PYTHONUNBUFFERED": "1"}
        self.program = RestartedProgram((*task.prefix, *command), task.folder / "log", extra)
        await self.program.start()

    def keep(self, session_ids: Iterable[str]) -> None:
        """Write the list of sessions to keep; the program watches the file."""
        if self.name is Name.DAEMON:
            lines = [f"  - id: '{each}'\n" for each in session_ids]
            self.write(self._session_file, ("sessions:\n" + "".join(lines)).encode())
        else:
            self.write(self._ids, json.dumps(list(session_ids)).encode())

    async def stop(self) -> None:
        """Stop its program."""
        if self.program is not None:
            await self.program.stop()

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file of its folder atomically."""
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_bytes(content)
        temporary.replace(path)

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
