"""Runs the attack. Exit code 1 means that it had an effect that it must not have."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.attack import report
from benchmarks.attack.run import ATTACKERS, Run
from benchmarks.findings import found, tell

_PUBLISHED_MINUTES = 3.0
_ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long the attack takes")
    parser.add_argument("--results", type=Path, help="where attack.md and attack.json are written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="some of the attackers, with commas")
    parser.add_argument("--stacks", type=Path, help="a file for stacks of a loop that stands still")
    options = parser.parse_args()
    chosen = tuple(name for name in options.only.split(",") if name) or ATTACKERS
    if unknown := set(chosen) - set(ATTACKERS):
        parser.error(f"no such attackers: {', '.join(unknown)}; there are: {', '.join(ATTACKERS)}")
    is_published = options.minutes >= _PUBLISHED_MINUTES and chosen == ATTACKERS
    usual = _ROOT / ("benchmarks/results" if is_published else "build/attack")
    with tempfile.TemporaryDirectory(prefix="attack.") as name:
        run = Run(Path(name), options.minutes, options.seed, options.stacks, chosen)
        findings = found(run.carry_out(), run.site.attacked.last_words)
    report.write(options.results or usual, findings, run.record())
    tell(findings)


if __name__ == "__main__":
    main()
