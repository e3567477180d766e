"""What an attack has found, as a page and as data."""

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

Hostile files, requests, answers and users at once, for {minutes:g} min of real time, against one
`clkeepalived serve` that holds 200 sessions of others at a simulated vCenter: `make attack`, which
writes this page anew. Beside it, on the same machine, runs the same daemon without sessions and
without attackers. {who}

Machine: {machine}.

| what | seen | allowed | |
| --- | --- | --- | --- |
"""
_TAIL = """
A stop of the loop is how late a timer of 10 ms comes inside the daemon. Both daemons are disturbed
by all else that the machine does, attackers included, which yield the processor to others (`nice`)
as most of them would sit on other machines. The idle loop's longest stop counts as {floor:g} ms at
least. A stop by the loop's own work is without the time in which its thread waited for a processor
(/proc/PID/task/TID/schedstat). It is judged by what was seen more than twice, as each attack is
repeated many times.

| loop | longest stop | by its own work | by its own work, more than twice |
| --- | --- | --- | --- |
{stops}

What was done, and how often:

| | |
| --- | --- |
"""
_OTHERS = "Attackers and honest users are other users of the machine than the daemon's."
_SELF = "It was not run by root: attackers are the daemon's own user, and may do everything."


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
