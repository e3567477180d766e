"""Write the findings of an attack as a page and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.attack.verdict import FLOOR_SECONDS
from benchmarks.findings import Finding
from benchmarks.soak.report import machine

_HEAD = """\
# Attack

`make attack` writes this page. For {minutes:g} min of real time, hostile files, requests, answers
and users attack one `clkeepalived serve` that holds 200 sessions of other users at a simulated
vCenter. A second daemon, without sessions and attackers, runs on the same machine for comparison.
{who}

Machine: {machine}.

| what | seen | allowed | |
| --- | --- | --- | --- |
"""
_TAIL = """
A stop of the loop is the delay of a 10 ms timer inside the daemon. Everything else on the machine
delays both daemons, including the attackers, which run at low priority (`nice`) because most of
them would run on other machines. The idle loop's longest stop counts as at least {floor:g} ms. The
loop's own work excludes the time in which its thread waited for a processor
(/proc/PID/task/TID/schedstat). The verdict uses the third longest stop, since each attack is
repeated many times.

| loop | longest stop | by its own work | by its own work, third longest |
| --- | --- | --- | --- |
{stops}

Number of attacks by kind:

| | |
| --- | --- |
"""
_OTHERS = "Attackers and honest users run as other users than the daemon."
_SELF = "It was not run by root: attackers run as the daemon's user, and have all its rights."


def write(folder: Path, findings: Sequence[Finding], record: Mapping[str, Any]) -> None:
    """Write attack.md and attack.json."""
    folder.mkdir(parents=True, exist_ok=True)
    page = _HEAD.format(
        minutes=record["minutes"],
        who=_OTHERS if record["other_users"] else _SELF,
        machine=machine(),
    )
    for each in findings:
        verdict = "good" if each.is_good else "**NO**"
        page += f"| {each.name} | {each.seen} | {each.allowed} | {verdict} |\n"
    rows = [
        f"| {name} | {each['longest']:.3f} s | {each['own']:.3f} s | {each['repeated']:.3f} s |"
        for name, each in record["stops"].items()
    ]
    page += _TAIL.format(floor=1000 * FLOOR_SECONDS, stops="\n".join(rows))
    for who, counts in record["attacks"].items():
        for name, number in sorted(counts.items()):
            page += f"| {who}: {name} | {number:,} |\n"
    for name, number in sorted(record["noticed"].items()):
        page += f"| daemon's log: {name} | {number:,} |\n"
    (folder / "attack.md").write_text(page, encoding="utf-8")
    data = {
        "machine": machine(),
        "findings": [asdict(each) for each in findings],
        **record,
    }
    records.write(folder / "attack.json", data)
