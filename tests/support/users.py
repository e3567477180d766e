"""Run test steps as other users of this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.programs import needs

NOBODY = 65534
SOMEBODY = 65533

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can act as other users; run the tests as root for this"
)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="clk-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def on_hosts(program: str) -> list[pytest.MarkDecorator]:
    """Mark tests that start machines or containers with the given program."""
    own = [pytest.mark.hosts, needs_root, pytest.mark.timeout(900)]
    return [*own, needs(program), needs("debootstrap")]
