"""The list of licences is the one of what is locked."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/licences.md"


def run(lock: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "installer/licences.py", str(lock)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def test_the_page_is_what_the_lock_file_makes_of_it() -> None:
    pinned = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements/base.txt").read_text(), re.M)
    if any(version(name) != locked for name, locked in pinned):
        pytest.skip("other releases are installed than requirements/base.txt pins")
    made = run(ROOT / "requirements/base.txt")
    assert made.returncode == 0, made.stderr
    assert made.stdout == PAGE.read_text(), "run `make sbom`"


def test_everything_has_a_licence_and_none_asks_more_than_to_be_named() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for name, _, licence in rows[2:]:
        assert licence.strip(" |"), name
        assert not any(word in licence for word in ("GPL", "Proprietary")), name


def test_a_package_of_which_nothing_is_known_is_not_passed_over(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("no-such-package==1.0 \\\n    --hash=sha256:00\n")
    made = run(lock)
    assert made.returncode != 0
    assert "no-such-package" in made.stderr
