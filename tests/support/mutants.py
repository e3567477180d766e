"""Run mutmut on one subpackage ("room") at a time, with the tests of that room.

Surviving mutants are tested once more with the slower tests of the whole daemon. mutmut reads its
settings only from `pyproject.toml`. Each room is therefore copied to `build/mutants`, with its
paths and tests in the settings. Survivors stay there (`mutmut show NAME` in that folder).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOMS = {
    "lease": ("test_lease_*.py", {"test_lease_crowd.py"}),
    "keeper": ("test_keeper_*.py test_registry.py", set[str]()),
    "store": ("test_store*.py", set[str]()),
}
"""The tests of each room, as name patterns in `tests/unit`, and those omitted as too long."""

WHOLE = (
    "test_chain.py test_daemon_*.py test_discovery*.py test_stuck_*.py test_without_effect_*.py "
    "test_untrue_*.py test_control_event_stream.py test_store_pieces.py"
)
"""The tests of the whole daemon, in the same form."""

ROOT = Path(__file__).parents[2]
COPIED = ("keepalived", "tests")


def files_of(patterns: str, left_out: Iterable[str] = ()) -> list[str]:
    """Return the test files that match the patterns."""
    folder = ROOT / "tests/unit"
    found = {path for pattern in patterns.split() for path in folder.glob(pattern)}
    return [f"tests/unit/{path.name}" for path in sorted(found) if path.name not in left_out]


def settings_of(room: str, files: Iterable[str], pyproject: str) -> str:
    """Return a `pyproject.toml` that lets mutmut change one room, and run these test files."""
    tests = "\n".join(f'    "{path}",' for path in files)
    chosen = (
        f'source_paths = ["keepalived/{room}"]\n'
        f"pytest_add_cli_args_test_selection = [\n{tests}\n]\n"
    )
    changed, count = re.subn(
        r"^\[tool\.mutmut\]\n", lambda found: found.group() + chosen, pyproject, flags=re.MULTILINE
    )
    assert count == 1
    return changed


def run(room: str, children: str) -> None:
    """Test all mutants of a room, and print the survivors."""
    own = _try(room, room, files_of(*ROOMS[room]), children)
    if own:
        _try(room, f"{room}-whole", files_of(WHOLE), children, own)


def _try(
    room: str, name: str, files: Iterable[str], children: str, changes: Iterable[str] = ()
) -> list[str]:
    """Test some mutants, or all, with these tests; print and return the survivors."""
    print(f"== {name}", flush=True)
    place = ROOT / "build/mutants" / name
    shutil.rmtree(place, ignore_errors=True)
    for folder in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, place / folder, ignore=ignored)
    text = settings_of(room, files, (ROOT / "pyproject.toml").read_text())
    (place / "pyproject.toml").write_text(text)
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    quick = {**os.environ, "EXAMPLES_SHARE": os.environ.get("EXAMPLES_SHARE", "0.05")}
    command = [mutmut, "run", "--max-children", children, *changes]
    subprocess.run(command, cwd=place, env=quick, check=True)
    results = [mutmut, "results"]
    told = subprocess.run(results, cwd=place, check=True, capture_output=True, text=True).stdout
    living = re.findall(r"^ *(\S+): (?:survived|no tests)$", told, flags=re.MULTILINE)
    chosen = set(changes)
    living = [each for each in living if not chosen or each in chosen]
    print("", *living, f"{len(living)} live", sep="\n", flush=True)
    return living


def main(rooms: list[str]) -> None:
    """Run the named rooms, or all."""
    chosen = list(ROOMS) if rooms in ([], ["all"]) else rooms
    if unknown := set(chosen) - ROOMS.keys():
        sys.exit(f"no mutants of {', '.join(unknown)}: ROOM is {', '.join(ROOMS)} or all")
    for room in chosen:
        run(room, os.environ.get("CHILDREN", "2"))


if __name__ == "__main__":
    main(sys.argv[1:])
