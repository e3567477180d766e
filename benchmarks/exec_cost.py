"""What `clkeepalived exec` costs: its start and end around a command, and reading progress.

The vCenter is a simulator on this machine, in a process of its own. Runs of `true`, of
`clkeepalived exec -- true` and of Python doing nothing take turns. Progress is read from a tree of
ten processes, each with a file that it reads.

    python benchmarks/exec_cost.py --runs 15
"""

from __future__ import annotations

import argparse
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

from keepalived.host.open_files import open_files, tree

PROCESSES = 10
LOOK_SECONDS = 2.0
"""How often `exec` looks at the files of its command; see keepalived/wrapper/tending.py."""

EXEC = (sys.executable, "-m", "keepalived.cli", "exec", "--no-progress", "--", "true")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--looks", type=int, default=500)
    options = parser.parse_args()
    with simulator() as environ:
        commands = {"true": ("true",), "Python": (sys.executable, "-c", ""), "exec": EXEC}
        taken = side_by_side(commands, environ, options.runs)
    plain = statistics.median(taken["true"])
    for name, seconds in taken.items():
        print(f"{name:<8} {words(seconds)}")
    added = statistics.median(taken["exec"]) - plain
    print(f"exec adds {1000 * added:.0f} ms to `true`, its round trips on loopback included")
    cost = cost_of_a_look(options.looks)
    print(
        f"reading progress of {PROCESSES} processes: {1000 * cost:.2f} ms of CPU, "
        f"{100 * cost / LOOK_SECONDS:.2f} % of a core at one look in {LOOK_SECONDS:g} s"
    )


@contextmanager
def simulator() -> Iterator[dict[str, str]]:
    """Run a simulator; yield the environment of a user of govc."""
    command = (sys.executable, "-m", "keepalived.cli", "simulate", "--listen", "127.0.0.1:0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            yield {
                **os.environ,
                "GOVC_URL": told["url"],
                "GOVC_USERNAME": told["username"],
                "GOVC_PASSWORD": told["password"],
                "GOVC_PERSIST_SESSION": "false",
            }
        finally:
            process.terminate()


def side_by_side(
    commands: Mapping[str, Sequence[str]], environ: dict[str, str], runs: int
) -> dict[str, list[float]]:
    """Run the commands in turns; return their wall times in seconds, without the first turn's."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=environ, check=True, stderr=subprocess.DEVNULL)
            if turn:
                taken[name].append(time.perf_counter() - began)
    return taken


def words(seconds: Sequence[float]) -> str:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{1000 * middle:5.0f} ms  ({1000 * low:.0f} to {1000 * high:.0f})"


def cost_of_a_look(looks: int) -> float:
    """Return the CPU seconds of one look at the files of a tree of processes."""
    with tempfile.TemporaryDirectory() as name, reading(Path(name)) as leader:
        if len(tree(leader)) != PROCESSES + 1:
            raise SystemExit("the processes to be looked at did not start")
        began = time.process_time()
        for _ in range(looks):
            open_files(tree(leader))
        return (time.process_time() - began) / looks


@contextmanager
def reading(folder: Path) -> Iterator[int]:
    """Run a shell with children that have a file open each; yield the shell's pid."""
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


if __name__ == "__main__":
    main()
