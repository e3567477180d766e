"""Run the table of faults and contenders, or a part of it (`make survive`).

    python -m benchmarks.survive [--faults none,restart,…] [--seconds 1200] [--lifetime 10]

Exits with 1 if the daemon lost a session that could have been saved, gave no warning of one that
could not, or if time ran out. Only the whole table is written, to `benchmarks/results` and to
docs/survival.md.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.survive import table, world
from benchmarks.survive.contenders import Name
from benchmarks.survive.crowd import LIFETIME as CROWD_LIFETIME
from benchmarks.survive.crowd import Crowd
from benchmarks.survive.faults import FAULTS, Fault, Needs
from benchmarks.survive.stage import Stage
from benchmarks.survive.table import Row
from benchmarks.survive.world import World

_AT_ONCE = 6
"""Stages that run at once: as many as two cores can run without disturbing each other."""

_PLAYS_MOST = 3


class Play:
    """The stages to run, and their results."""

    def __init__(self, faults: Sequence[Fault], lifetime: float, place: World) -> None:
        self.rows: list[Row] = []
        self._lifetime = lifetime
        self._place = place
        self._stages = [
            Stage(fault, put_counts, lifetime, place)
            for fault in faults
            for put_counts in (True, False)
            if not fault.is_crowd
        ]
        # Crowds need the machine for themselves.
        self._crowds = [
            Crowd(fault, True, CROWD_LIFETIME, place) for fault in faults if fault.is_crowd
        ]
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._starting = asyncio.Lock()

    async def run(self) -> None:
        """Run all stages, a few at once."""
        async with asyncio.TaskGroup() as tasks:
            for stage in self._stages:
                tasks.create_task(self._play(stage, _PLAYS_MOST))
        for crowd in self._crowds:
            await self._play(crowd, 1)
        self.rows.sort(key=self._place_of)

    async def _play(self, stage: Stage, plays: int) -> None:
        fault = stage.fault
        why_not = _why_not(fault, self._place)
        if why_not:
            self.rows.append(Row(fault.name, fault.title, stage.put_counts, None, why_not))
            self._print(stage, why_not)
            return
        async with self._room:
            began = time.monotonic()
            for _ in range(plays):
                cells, is_disturbed = await stage.play(self._starting)
                if not is_disturbed:
                    break
        link = self._place.link
        title = f"{fault.title} ({link.means})" if fault.over_link and link else fault.title
        self.rows.append(Row(fault.name, title, stage.put_counts, cells, "", is_disturbed))
        figures = ", ".join(f"{name} {cell.lost}" for name, cell in cells.items())
        of = next(iter(cells.values())).of
        result = f"lost of {of}: {figures} ({time.monotonic() - began:.0f} s)"
        self._print(stage, f"{result}; the machine stalled" if is_disturbed else result)

    def _print(self, stage: Stage, result: str) -> None:
        mode = "PUT counts" if stage.put_counts else "PUT does not count"
        mode = "no PUTs" if stage.fault.is_crowd else mode
        done = f"[{len(self.rows):2}/{len(self._stages) + len(self._crowds)}]"
        print(f"{done} {stage.fault.name}, {mode}: {result}", flush=True)

    def _place_of(self, row: Row) -> tuple[int, bool]:
        names = [stage.fault.name for stage in (*self._stages, *self._crowds)]
        return names.index(row.fault), not row.put_counts


def _why_not(fault: Fault, place: World) -> str:
    if Needs.NAMESPACES in fault.needs and not place.is_own:
        return "needs root, to create namespaces"
    if fault.over_link and place.link is None:
        return "needs the kernel's netem, or TUN devices"
    if Needs.CLOCK in fault.needs and not place.can_step_clocks:
        return "needs a C compiler (`cc`)"
    return ""


def _broken_promises(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        cell = row.cells and row.cells[Name.DAEMON]
        if cell and not cell.is_honoured:
            mode = "PUT counts" if row.put_counts else "PUT does not count"
            yield f"{row.fault}, {mode}: {'; '.join(cell.notes)}"


def _keep_logs(folder: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*/log"):
        shutil.copy(log, into / f"{log.parent.name}.log")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make survive")
    parser.add_argument("--faults", default="", help="comma-separated names; default: all")
    parser.add_argument("--seconds", type=float, default=1200.0, help="time limit")
    parser.add_argument("--logs", type=Path, help="folder for the programs' logs")
    parser.add_argument(
        "--lifetime", type=float, default=10.0, help="seconds an idle session lives"
    )
    return parser.parse_args()


def _chosen(names: str) -> list[Fault]:
    wanted = [name for name in names.split(",") if name]
    unknown = set(wanted) - {fault.name for fault in FAULTS}
    if unknown:
        known = ", ".join(fault.name for fault in FAULTS)
        sys.exit(f"unknown faults: {', '.join(sorted(unknown))}; available: {known}")
    return [fault for fault in FAULTS if not wanted or fault.name in wanted]


def main() -> None:
    arguments = _arguments()
    faults = _chosen(arguments.faults)
    world.enter(sys.argv[1:])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="survive-") as folder:
        place = World(Path(folder))
        if any(fault.over_link for fault in faults):
            place.open_link()
        play = Play(faults, arguments.lifetime, place)
        try:
            asyncio.run(asyncio.wait_for(play.run(), arguments.seconds))
        except TimeoutError:
            sys.exit(f"not done within {arguments.seconds:g} s")
        finally:
            if arguments.logs:
                _keep_logs(place.folder, arguments.logs)
            place.close()
    print(f"\n{table.markdown(play.rows)}\n{table.footnote()}")
    if len(faults) == len(FAULTS):
        table.write(play.rows, arguments.lifetime, time.monotonic() - began)
    broken = list(_broken_promises(play.rows))
    if broken:
        sys.exit(
            "\n".join(
                ("sessions lost that could have been saved, or lost without a warning:", *broken)
            )
        )


if __name__ == "__main__":
    main()
