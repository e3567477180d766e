"""The wheel, alone in a new environment: what a script's author and a type checker get of it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel and what it needs, and nothing else."""
    place = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(place, with_pip=False)
    python = place / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", str(python), "-qq", "--no-input", "install")
    own = ("--no-index", "--find-links", str(bundle / "wheels"), "content-library-keepalived")
    subprocess.run([*pip, *own], check=True, env={**os.environ, "PIP_FIND_LINKS": ""})
    return python


def checked(python: Path, folder: Path, *scripts: str) -> subprocess.CompletedProcess[str]:
    """Run `mypy --strict` on scripts of a folder, for what is installed there."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            *("--python-executable", str(python), "--cache-dir", str(python.parent / "mypy")),
            *scripts,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_examples_are_typed_strictly(python: Path, tmp_path: Path) -> None:
    examples = sorted((ROOT / "examples").glob("*.py"))
    assert examples
    for example in examples:  # elsewhere: beside the package they would find it without the wheel
        (tmp_path / example.name).write_text(example.read_text())
    ran = checked(python, tmp_path, *(example.name for example in examples))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"no issues found in {len(examples)} source files" in ran.stdout


def test_a_call_that_is_wrong_is_found(python: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import keepalived\n"
        'with keepalived.hold("https://vcsa.lab.example", "id", token="t") as held:\n'
        "    held.progress(4.2)\n"
    )
    ran = checked(python, tmp_path, "script.py")
    assert ran.returncode == 1
    assert "script.py:3: error: " in ran.stdout


def test_it_runs(python: Path, tmp_path: Path) -> None:
    text = "import keepalived; keepalived.hold('https://vcsa.lab.example', 'id', token='t')"
    subprocess.run([python, "-I", "-W", "error", "-c", text], check=True, cwd=tmp_path)
