"""Remove each branch of each listener in turn, and check that a test of the whole chain fails.

`make branches` works on copies of the tree. A branch is a `case` of a listener's `match`, or a
function's handling of one type of event. The branches whose removal no test notices are listed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

CHAIN = ("tests/unit/test_chain.py",)
LISTENERS = {
    "keepalived/observe/metrics.py": CHAIN,
    "keepalived/observe/eventlog.py": CHAIN,
    "keepalived/control/event_stream.py": CHAIN,
    "keepalived/control/hold_index.py": ("tests/unit/test_control_hold_index.py",),
    "keepalived/control/server.py": (*CHAIN, "tests/integration/test_control_owners.py"),
    "keepalived/keeper/registry.py": (
        *CHAIN,
        "tests/unit/test_keeper_registry.py",
        "tests/unit/test_control_hold_index.py",
    ),
    "keepalived/wrapper/console_listener.py": ("tests/unit/test_chain_exec.py",),
    "keepalived/embedded/hold_runner.py": ("tests/unit/test_hold_keeping.py",),
}
"""Each file that listens to events or reports them, with the tests that cover it."""

_NOTIFIES = re.compile(r"\b_?notify\(")
_COPIED = ("keepalived", "tests", "benchmarks", "config", "docs", "examples", "pyproject.toml")


class Branch(NamedTuple):
    """The lines of one branch, and the pattern that leads to it."""

    path: str
    first: int
    last: int
    pattern: str


def branches(path: str) -> Iterator[Branch]:
    """Return the branches of a listener: its cases, and its calls that pass events on."""
    text = Path(path).read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Match) and ast.unparse(node.subject) == "event":
            for case in node.cases:
                if isinstance(case.body[0], ast.Pass):
                    continue
                first = case.body[0].lineno
                yield Branch(
                    path, first, case.body[-1].end_lineno or first, ast.unparse(case.pattern)
                )
        elif isinstance(node, ast.If) and ast.unparse(node.test).startswith("isinstance(event,"):
            first = node.body[0].lineno
            yield Branch(path, first, node.body[-1].end_lineno or first, ast.unparse(node.test))
        elif isinstance(node, ast.Expr) and _NOTIFIES.search(ast.unparse(node)):
            yield Branch(path, node.lineno, node.end_lineno or node.lineno, ast.unparse(node))


def without(branch: Branch) -> str:
    """Return the file's text without a branch's statements."""
    lines = Path(branch.path).read_text().splitlines(keepends=True)
    first = lines[branch.first - 1]
    indentation = first[: len(first) - len(first.lstrip())]
    lines[branch.first - 1 : branch.last] = [f"{indentation}pass\n"]
    return "".join(lines)


def is_missed(branch: Branch) -> bool:
    """Whether a test fails without a branch. Raises RuntimeError if no test could run."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for each in _COPIED:
            copy = shutil.copytree if Path(each).is_dir() else shutil.copy
            copy(each, tree / each)
        (tree / branch.path).write_text(without(branch))
        tests = LISTENERS[branch.path]
        command = (sys.executable, "-m", "pytest", "-x", "-q", "-n0", *tests)
        environ = {**os.environ, "PYTHONPATH": str(tree)}
        ran = subprocess.run(
            command, cwd=tree, env=environ, capture_output=True, text=True, check=False
        )
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"{branch}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran.returncode == 1


def main() -> int:
    """Check all branches; return 1 if no test notices the removal of one."""
    found = [branch for path in LISTENERS for branch in branches(path)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = threads.map(is_missed, found)
        live = []
        for branch, missed in zip(found, results, strict=True):
            verdict = "missed" if missed else "NOT MISSED"
            print(f"{verdict:10}  {branch.path}:{branch.first}  {branch.pattern}", flush=True)
            if not missed:
                live.append(branch)
    print(f"{len(found) - len(live)} of {len(found)} branches are missed by a test")
    return 1 if live else 0


if __name__ == "__main__":
    sys.exit(main())
