"""The files of a measured daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class DaemonFolder:
    """A folder with all files that one daemon reads and writes."""

    folder: Path

    def __post_init__(self) -> None:
        self.socket = self.folder / "control.sock"
        self.config = self.folder / "config.yaml"
        self.state = self.folder / "state.db"
        self.log = self.folder / "log"


def write(path: Path, text: str) -> None:
    """Write a file atomically, by renaming it into place."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
