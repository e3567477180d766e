"""Benchmark what a small host notices: the time to start, and the memory of a daemon at rest.

Everything runs from a wheel in a virtual environment of its own, as users have it. The yardstick
for time is `python -c 'import aiohttp'`; that for memory a process that has only imported the
libraries of the daemon.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.exec_cost import simulator
from benchmarks.nginx import nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.served import daemon, resident_bytes, write_sessions

RUNS = 15
SESSIONS = 10
YARDSTICK = "python -c 'import aiohttp'"
READY = "clkeepalived serve, until READY"
EXEC = "clkeepalived exec -- true"
_REST_SECONDS = 20.0
"""By then the daemon has renewed its sessions and sent their first other requests."""
_NOWHERE = subprocess.DEVNULL
_ROOT = Path(__file__).parents[1]
_LIBRARIES = (
    "import sys; sys.modules['rich'] = None\n"
    "import aiohttp.web, yaml, structlog, prometheus_client, click, sqlite3\n"
    "print(flush=True); sys.stdin.read()"
)


def measure(_minutes: float) -> Answer:
    """Take turns; return times in milliseconds, memory in MiB, and the ratios to the yardsticks."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        python = install(place / "venv")
        (place / "nginx").mkdir()
        write_sessions(place, SESSIONS)
        with nginx(place / "nginx") as served, simulator() as environ:
            cli = (str(python), "-m", "keepalived.cli")

            def ready() -> float:
                with daemon(place, served.http, observe="files", python=python) as running:
                    return running.ready_after

            taken: dict[str, list[float]] = {}
            alone = {
                YARDSTICK: _timed((str(python), "-c", "import aiohttp"), environ),
                EXEC: _timed((*cli, "exec", "--no-progress", "--", "true"), environ),
                READY: ready,
            }
            _take_turns(alone, taken)
            with daemon(place, served.http, observe="files", python=python) as running:
                environ = {**environ, "CLKEEPALIVED_SOCKET": str(place / "control.sock")}
                running.wait_for_keep_alives(SESSIONS, within=60)
                beside = {
                    "python -c ''": _timed((str(python), "-c", ""), environ),
                    "clkeepalived --version": _timed((*cli, "--version"), environ),
                    "clkeepalived status": _timed((*cli, "status"), environ),
                }
                _take_turns(beside, taken)
                time.sleep(_REST_SECONDS)
                resident = running.memory()
            libraries = _memory_of_libraries(python)
    return {
        "times": {
            name: {
                "median_ms": round(1e3 * statistics.median(seconds)),
                "least_ms": round(1e3 * min(seconds)),
                "most_ms": round(1e3 * max(seconds)),
            }
            for name, seconds in taken.items()
        },
        "ratios": {
            name: round(
                statistics.median(
                    own / other for own, other in zip(taken[name], taken[YARDSTICK], strict=True)
                ),
                2,
            )
            for name in (READY, EXEC)
        },
        "resident_mib": round(resident / 2**20, 1),
        "libraries_mib": round(libraries / 2**20, 1),
        "memory_ratio": round(resident / libraries, 3),
    }


def install(folder: Path) -> Path:
    """Install a wheel of this checkout into a new environment, without the `speed` extra.

    Returns its interpreter.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    wheels = folder / "wheels"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
        cwd=_ROOT,
        check=True,
        stdout=_NOWHERE,
        stderr=_NOWHERE,
    )
    (wheel,) = wheels.glob("*.whl")
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    locked = _ROOT / "requirements" / "base.txt"
    subprocess.run([*pip, "--require-hashes", "-r", str(locked)], check=True, stderr=_NOWHERE)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return python


def _memory_of_libraries(python: Path) -> int:
    with subprocess.Popen(
        (str(python), "-c", _LIBRARIES), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return resident_bytes(process.pid)


def _take_turns(ways: Mapping[str, Callable[[], float]], taken: dict[str, list[float]]) -> None:
    for turn in range(RUNS + 1):
        for name, way in ways.items():
            seconds = way()
            if turn:  # the first run reads from the disk
                taken.setdefault(name, []).append(seconds)


def _timed(command: Sequence[str], environ: Mapping[str, str]) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        subprocess.run(
            command,
            env={**os.environ, **environ},
            check=True,
            stdout=_NOWHERE,
            stderr=_NOWHERE,
        )
        return time.perf_counter() - began

    return run


def table(answer: Answer) -> str:
    """Return a table with a row for each command, and a sentence on memory."""
    rows = [
        (
            f"`{name}`",
            f"{of['median_ms']} ms",
            f"{of['least_ms']} to {of['most_ms']} ms",
            f"{answer['ratios'][name]:.2f}" if name in answer["ratios"] else "",
        )
        for name, of in answer["times"].items()
    ]
    head = ("command", "median", "range", f"relative to `{YARDSTICK}`")
    return (
        f"{markdown(head, rows)}\n\n"
        f"At rest, `serve` with ten sessions is {answer['resident_mib']:.1f} MiB resident, "
        f"{answer['memory_ratio']:.2f} of a process that has only imported its libraries "
        f"({answer['libraries_mib']:.1f} MiB)."
    )


ABOUT = """\
Whole processes from an installed wheel without uvloop, in turns. `serve` holds ten sessions, with a
state file, until it reports READY to systemd. `exec` runs against a simulator on the same
machine. The libraries are aiohttp with its server, pyyaml, structlog without rich,
prometheus-client, click and sqlite3."""

PART = Part(
    "startup", "How long does it take to start, and how small is it?", ABOUT, measure, table
)
