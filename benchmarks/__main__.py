"""Run all benchmarks, or the named parts, and publish the results.

python -m benchmarks --only lane,idle --minutes 10
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import (
    crowd,
    durable_holds,
    exec_cost,
    idle,
    lane,
    results,
    scrape_cost,
    startup,
    steady,
)

PARTS = (
    lane.PART,
    steady.PART,
    crowd.PART,
    idle.PART,
    startup.PART,
    durable_holds.PART,
    exec_cost.PART,
    scrape_cost.PART,
)


def main() -> None:
    """Run the selected parts, record their answers, and rewrite the result pages."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", default="all", help=f"some of {','.join(names)}; or none")
    parser.add_argument("--minutes", type=float, default=10.0, help="for parts in real time")
    options = parser.parse_args()
    wanted = set(names) if options.only == "all" else set(options.only.split(",")) - {"none"}
    if unknown := wanted - set(names):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; available: {names}")
    for part in PARTS:
        if part.name in wanted:
            print(f"--- {part.name}: {part.question}", file=sys.stderr)
            answer = part.measure(options.minutes)
            results.record(part, answer)
            print(part.table(answer))
    results.publish(PARTS)


if __name__ == "__main__":
    main()
