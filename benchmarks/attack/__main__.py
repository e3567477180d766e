"""Command line of the attack. Exit code 1 means that a check failed."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.attack import report
from benchmarks.attack.run import ATTACKERS, Run
from benchmarks.findings import report_and_exit, run_checks

_PUBLISHED_MINUTES = 3.0
_ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="duration of the attack")
    parser.add_argument("--results", type=Path, help="folder for attack.md and attack.json")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="comma-separated attackers to run")
    parser.add_argument("--stacks", type=Path, help="file for stack traces of a blocked event loop")
    options = parser.parse_args()
    chosen = tuple(name for name in options.only.split(",") if name) or ATTACKERS
    if unknown := set(chosen) - set(ATTACKERS):
        parser.error(f"unknown attackers: {', '.join(unknown)}; available: {', '.join(ATTACKERS)}")
    is_published = options.minutes >= _PUBLISHED_MINUTES and chosen == ATTACKERS
    usual = _ROOT / ("benchmarks/results" if is_published else "build/attack")
    with tempfile.TemporaryDirectory(prefix="attack.") as name:
        run = Run(Path(name), options.minutes, options.seed, options.stacks, chosen)
        findings = run_checks(run.carry_out(), run.site.attacked.log_tail)
    report.write(options.results or usual, findings, run.record())
    report_and_exit(findings)


if __name__ == "__main__":
    main()
