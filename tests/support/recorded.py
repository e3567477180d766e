"""What tests see of the whole daemon, kept for `make contract` where it asks for that."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

FOLDER = "CONTRACT_FOLDER"
"""The environment variable that names the folder for it."""


def is_recorded() -> bool:
    """Whether somebody wants to know."""
    return FOLDER in os.environ


def record(part: str, seen: Iterable[object]) -> None:
    """Keep what was seen of a part: `log`, `stream` or `metrics`."""
    if is_recorded():
        with (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a") as file:
            file.writelines(json.dumps({part: each}) + "\n" for each in seen)
