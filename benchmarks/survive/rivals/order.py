"""A rival's configuration: a JSON file with the vCenter and the path of the sessions' list."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Order:
    """The vCenter to log in to and the lifetime of its sessions in seconds.

    `sessions` is a JSON file with a list of ids, created once the sessions are open. The sessions
    are distributed to `threads` threads; 0 means one for each.
    """

    url: str
    username: str
    password_file: Path
    ca_file: Path
    lifetime: float
    sessions: Path
    threads: int

    @classmethod
    def read(cls, path: Path) -> Order:
        """Read an order from its file."""
        fields: dict[str, Any] = json.loads(path.read_text())
        for name in ("password_file", "ca_file", "sessions"):
            fields[name] = Path(fields[name])
        return cls(**fields)

    @property
    def password(self) -> str:
        """The password, read from its file at each access."""
        return self.password_file.read_text().strip()

    def keep(self, keep: Callable[[list[str]], None]) -> None:
        """Print `ready`, and keep the sessions in threads; never return, even if threads end."""
        print("ready", flush=True)
        for ids in self.hands():
            threading.Thread(target=keep, args=(ids,), daemon=True).start()
        threading.Event().wait()  # an upload does not end if its keep-alives fail

    def hands(self) -> list[list[str]]:
        """Wait for the sessions, and return the sessions of each thread."""
        while not self.sessions.exists():
            time.sleep(_LOOK_SECONDS)
        ids: list[str] = json.loads(self.sessions.read_text())
        threads = self.threads or len(ids)
        return [ids[first::threads] for first in range(threads)]
