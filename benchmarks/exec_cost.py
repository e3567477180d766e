"""Benchmark `clkeepalived exec`: its overhead around a command, and reading progress.

The vCenter is a simulator on this machine, in its own process. Runs of `true`, of
`clkeepalived exec -- true` and of an empty Python program alternate. Progress is read from a tree
of ten processes, each of which reads a file.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.parts import Answer, Part, markdown
from keepalived.host.open_files import open_files, tree

RUNS = 15
POLLS = 500
PROCESSES = 10
POLL_SECONDS = 2.0
"""Interval at which `exec` reads progress; see keepalived/wrapper/session_tracker.py."""

EXEC = (sys.executable, "-m", "keepalived.cli", "exec", "--no-progress", "--", "true")


def measure(_minutes: float) -> Answer:
    """Return the time of each run and `exec`'s overhead in milliseconds, and the cost of a poll."""
    with simulator() as environ:
        commands = {"true": ("true",), "Python": (sys.executable, "-c", ""), "exec": EXEC}
        taken = side_by_side(commands, environ, RUNS)
    medians = {name: 1e3 * statistics.median(seconds) for name, seconds in taken.items()}
    cost = cost_of_a_poll(POLLS)
    return {
        "median_ms": {name: round(median, 1) for name, median in medians.items()},
        "added_to_true_ms": round(medians["exec"] - medians["true"]),
        "look_cpu_ms": round(1e3 * cost, 2),
        "look_percent_of_a_core": round(100 * cost / POLL_SECONDS, 3),
    }


def table(answer: Answer) -> str:
    """Return a table with a row for each command, and a sentence on reading progress."""
    rows = [(f"`{name}`", f"{median:.0f} ms") for name, median in answer["median_ms"].items()]
    return (
        f"{markdown(('command', 'median'), rows)}\n\n"
        f"`exec` adds {answer['added_to_true_ms']} ms to `true`, including its round trips on "
        f"loopback. Reading the progress of {PROCESSES} processes takes "
        f"{answer['look_cpu_ms']:.2f} ms of CPU, {answer['look_percent_of_a_core']:.2f} % of a "
        f"core at one poll every {POLL_SECONDS:g} s."
    )


@contextmanager
def simulator() -> Iterator[dict[str, str]]:
    """Run a simulator; yield govc's environment variables for it."""
    command = (sys.executable, "-m", "keepalived.cli", "simulate", "--listen", "127.0.0.1:0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield {
                **os.environ,
                "GOVC_URL": ready["url"],
                "GOVC_USERNAME": ready["username"],
                "GOVC_PASSWORD": ready["password"],
                "GOVC_PERSIST_SESSION": "false",
            }
        finally:
            process.terminate()


def side_by_side(
    commands: Mapping[str, Sequence[str]], environ: dict[str, str], runs: int
) -> dict[str, list[float]]:
    """Run the commands in turns; return wall times in seconds, omitting the first turn."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=environ, check=True, stderr=subprocess.DEVNULL)
            if turn:
                taken[name].append(time.perf_counter() - began)
    return taken


def cost_of_a_poll(polls: int) -> float:
    """Return the CPU seconds of reading the progress of a tree of processes once."""
    with tempfile.TemporaryDirectory() as name, reading(Path(name)) as leader:
        if len(tree(leader)) != PROCESSES + 1:
            raise SystemExit("the processes to be polled did not start")
        began = time.process_time()
        for _ in range(polls):
            open_files(tree(leader))
        return (time.process_time() - began) / polls


@contextmanager
def reading(folder: Path) -> Iterator[int]:
    """Run a shell whose children each have a file open; yield the shell's pid."""
    file = folder / "image"
    file.write_bytes(bytes(1_000_000))
    each = f"(exec 5<{file}; echo ready; exec sleep 600) & "
    shell = subprocess.Popen(
        ["sh", "-c", f"{each * PROCESSES} wait"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert shell.stdout is not None
    try:
        for _ in range(PROCESSES):
            shell.stdout.readline()
        yield shell.pid
    finally:
        os.killpg(shell.pid, 15)
        shell.wait()
        shell.stdout.close()


ABOUT = """\
Runs of `true`, of `clkeepalived exec -- true` and of an empty Python program alternate. The vCenter
is a simulator on the same machine."""

PART = Part("exec", "What does `clkeepalived exec` cost?", ABOUT, measure, table)
