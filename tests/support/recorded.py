"""Record what tests see of the whole daemon, for `make contract`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

FOLDER = "CONTRACT_FOLDER"
"""The environment variable with the folder for the records."""


def is_recorded() -> bool:
    """Whether recording is enabled."""
    return FOLDER in os.environ


def record(part: str, seen: Iterable[object]) -> None:
    """Append to the records of a part: `log`, `stream` or `metrics`."""
    if is_recorded():
        with (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a") as file:
            file.writelines(json.dumps({part: each}) + "\n" for each in seen)
