"""What a rival is told: one JSON file that names the vCenter, and where the sessions will stand."""

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

    `sessions` is a JSON file with a list of ids; it appears once the sessions are open. The
    sessions are dealt out to `threads` threads; 0 means one for each.
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
        told: dict[str, Any] = json.loads(path.read_text())
        for name in ("password_file", "ca_file", "sessions"):
            told[name] = Path(told[name])
        return cls(**told)

    @property
    def password(self) -> str:
        """The password as the file says at this moment."""
        return self.password_file.read_text().strip()

    def keep(self, keep: Callable[[list[str]], None]) -> None:
        """Say that all is ready, and keep the sessions in threads, whatever becomes of these."""
        print("ready", flush=True)
        for ids in self.hands():
            threading.Thread(target=keep, args=(ids,), daemon=True).start()
        threading.Event().wait()  # An upload goes on, whatever became of its keeping.

    def hands(self) -> list[list[str]]:
        """Wait for the sessions, and return which of them each thread keeps."""
        while not self.sessions.exists():
            time.sleep(_LOOK_SECONDS)
        ids: list[str] = json.loads(self.sessions.read_text())
        threads = self.threads or len(ids)
        return [ids[first::threads] for first in range(threads)]
