"""Benchmark keep-alives per CPU-second: the whole daemon compared with other programs.

All are measured in turn against the same nginx, in several rounds, so that other work on the
machine affects all of them. The daemon is measured as shipped: schedule, core, metrics, log and
state file. With `observe: minimal` it is overloaded (20,000 sessions). With `state` and
`files`, which read sessions only when there is time, it has spare capacity.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.counting import SESSIONS
from benchmarks.nginx import Nginx, nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.plots import figure
from benchmarks.served import LOOPS, daemon, write_sessions

ROUNDS = 3
SECONDS = 5.0
SCHEMES = ("http", "https")
OBSERVED = ("minimal", "state", "files")
DAEMON = "clkeepalived"
BARE = "bare aiohttp"
SDK = "VMware SDK"
REQUESTS = "requests"
GOVMOMI = "govmomi"

_BUSY = (SESSIONS, 2)
_WITH_ROOM = (1_000, 5)
"""Sessions and their lifetime in seconds: 400 rounds a second."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One contender and its settings. `loop` is empty for programs without an event loop."""

    contender: str
    scheme: str
    loop: str = ""
    observe: str = ""

    @property
    def name(self) -> str:
        """The cell's name in bench.json."""
        return " ".join(filter(None, (self.contender, self.observe, self.loop, self.scheme)))


@dataclass(frozen=True, slots=True)
class Measured:
    """The work done in `cpu_seconds`: keep-alives, and all requests needed for them."""

    keep_alives: float
    requests: float
    cpu_seconds: float


def cells(schemes: Sequence[str] = SCHEMES) -> list[Cell]:
    """Return all cells in the order of measurement."""
    return [cell for scheme in schemes for cell in _cells_of(scheme)]


def _cells_of(scheme: str) -> Iterator[Cell]:
    for loop in LOOPS:
        yield Cell(BARE, scheme, loop)
        for observe in OBSERVED:
            yield Cell(DAEMON, scheme, loop, observe)
    for contender in (SDK, REQUESTS, GOVMOMI):
        yield Cell(contender, scheme)


def measure(_minutes: float) -> Answer:
    """Measure all cells."""
    return take_turns(cells(), ROUNDS, SECONDS)


def take_turns(wanted: Sequence[Cell], rounds: int, seconds: float) -> Answer:
    """Measure `wanted` in `rounds`; return medians, and medians of ratios within rounds."""
    taken: dict[str, list[Measured]] = {cell.name: [] for cell in wanted}
    with target() as (served, govmomi):
        for number in range(rounds):
            for cell in wanted:
                one = measure_cell(cell, served, govmomi, seconds)
                taken[cell.name].append(one)
                rate = f"{one.keep_alives / one.cpu_seconds:6.0f} keep-alives per CPU-second"
                print(f"round {number + 1} of {rounds}: {cell.name:38} {rate}", file=sys.stderr)
    answer: Answer = {}
    for cell in wanted:
        own = taken[cell.name]
        answer[cell.name] = {
            "keep_alives_per_cpu_second": round(_median(own, _rate)),
            "requests_per_keep_alive": round(_median(own, _requests), 2),
        }
        if cell.contender == DAEMON:
            answer[cell.name]["ratios"] = {
                to: round(ratio, 3)
                for to in (BARE, SDK, REQUESTS, GOVMOMI)
                if (ratio := _ratio(own, taken.get(_rival(to, cell).name)))
            }
    return answer


def _rival(contender: str, cell: Cell) -> Cell:
    return Cell(contender, cell.scheme, cell.loop if contender == BARE else "")


def _rate(one: Measured) -> float:
    return one.keep_alives / one.cpu_seconds


def _requests(one: Measured) -> float:
    return one.requests / one.keep_alives


def _median(measured: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    return statistics.median(map(of, measured))


def _ratio(own: Sequence[Measured], rival: Sequence[Measured] | None) -> float | None:
    """Return the requests per CPU-second as a multiple of the rival's in the same rounds."""
    if rival is None:
        return None
    return statistics.median(
        _rate(one) * _requests(one) / _rate(other) for one, other in zip(own, rival, strict=True)
    )


@contextmanager
def target() -> Iterator[tuple[Nginx, Path]]:
    """Run nginx; yield it and the path of the compiled govmomi program."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with nginx(directory, lifetime=_WITH_ROOM[1]) as served:
            yield served, directory / GOVMOMI


def measure_cell(cell: Cell, served: Nginx, govmomi: Path, seconds: float) -> Measured:
    """Measure one contender once."""
    url = served.https.replace("127.0.0.1", "localhost") if cell.scheme == "https" else served.http
    ca_file = served.ca_file if cell.scheme == "https" else None
    if cell.contender == DAEMON:
        with tempfile.TemporaryDirectory() as name:
            return _measure_daemon(cell, Path(name), url, ca_file, served, seconds)
    command = _COMMANDS.get(cell.contender) or (str(build_govmomi(govmomi)),)
    trust = ("--ca-file", str(ca_file)) if ca_file else ()
    loop = ("--loop", cell.loop) if cell.loop else ()
    output = subprocess.run(
        [*command, "--url", url, "--seconds", f"{seconds:g}", *trust, *loop],
        check=True,
        capture_output=True,
        timeout=seconds + 60,
    ).stdout
    counts = json.loads(output)
    return Measured(counts["keep_alives"], counts["keep_alives"], counts["cpu_seconds"])


_COMMANDS = {
    BARE: (sys.executable, "-m", "benchmarks.contenders.bare_aiohttp"),
    SDK: (sys.executable, "-m", "benchmarks.contenders.vmware_sdk"),
    REQUESTS: (sys.executable, "-m", "benchmarks.contenders.plain_requests"),
}


def build_govmomi(binary: Path) -> Path:
    """Compile the program with Debian's govmomi, once."""
    if not binary.exists():
        environ = {
            **os.environ,
            "GO111MODULE": "off",
            "GOFLAGS": "",
            "GOPATH": "/usr/share/gocode",
        }
        source = Path(__file__).parent / "contenders" / "govmomi"
        command = ["go", "build", "-o", str(binary), "."]
        subprocess.run(command, cwd=source, env=environ, check=True)
    return binary


def _measure_daemon(
    cell: Cell, directory: Path, url: str, ca_file: Path | None, served: Nginx, seconds: float
) -> Measured:
    sessions, lifetime = _BUSY if cell.observe == "minimal" else _WITH_ROOM
    # A session's first renewals send more requests than later ones.
    warm = sessions + 1 if cell.observe == "minimal" else 4 * sessions
    write_sessions(directory, sessions)
    with daemon(
        directory,
        url,
        lifetime=lifetime,
        observe=cell.observe,
        loop=cell.loop,
        ca_file=ca_file,
        request_timeout="5s",
    ) as running:
        running.wait_for_keep_alives(warm, within=300)
        # nginx counts the requests exactly between two readings of the CPU time; the daemon's
        # metrics give the share of keep-alives among them.
        before, asked_before = running.keep_alives(), served.requests()
        cpu, asked = running.cpu_seconds(), served.requests()
        time.sleep(seconds)
        cpu, asked = running.cpu_seconds() - cpu, served.requests() - asked - 1
        after, asked_after = running.keep_alives(), served.requests()
        per_keep_alive = (asked_after - asked_before - 3) / (after - before)
        if cell.observe == "minimal":
            per_keep_alive = 1.0
    return Measured(asked / per_keep_alive, asked, cpu)


def table(answer: Answer, wanted: Callable[[Cell], bool] = lambda _cell: True) -> str:
    """Return a table with the rates of all contenders, and the daemon's ratios to its rivals."""
    rows = []
    for cell in filter(wanted, cells()):
        if cell.name not in answer:
            continue
        figures = answer[cell.name]
        ratios = figures.get("ratios", {})
        name = f"**{cell.contender}**, `observe: {cell.observe}`" if ratios else cell.contender
        rows.append(
            (
                name,
                cell.scheme,
                cell.loop,
                f"{figures['keep_alives_per_cpu_second']:,}",
                f"{figures['requests_per_keep_alive']:g}",
                *(f"{ratios[to]:.2f}" if to in ratios else "" for to in _RIVALS),
            )
        )
    head = ("program", "scheme", "loop", "keep-alives per CPU-second", "requests each")
    return markdown((*head, *(f"relative to {to}" for to in _RIVALS)), rows)


_RIVALS = (BARE, SDK, REQUESTS, GOVMOMI)

ABOUT = """\
All programs are measured in turn against the same nginx, in several rounds, so that other work on
the machine affects all of them. CPU time is the client's, including the kernel's work for it. The
daemon runs with its schedule, core, metrics, log and state file. Ratios compare requests per
CPU-second within a round, on the same event loop if there is one, and are medians of the rounds.
`bare aiohttp` is the upper limit of aiohttp's client session: a prepared loop of requests that does
not check the answers. The daemon does not send its requests through that session."""


def plot(answer: Answer, path: Path) -> None:
    """Draw the requests per CPU-second of all contenders."""
    with figure(path, "Requests per CPU-second", columns=len(SCHEMES), size=(9.2, 3.4)) as axes:
        for axis, scheme in zip(axes, SCHEMES, strict=True):
            shown = [cell for cell in cells([scheme]) if cell.name in answer][::-1]
            rates = [
                answer[cell.name]["keep_alives_per_cpu_second"]
                * answer[cell.name]["requests_per_keep_alive"]
                for cell in shown
            ]
            names = [" ".join(filter(None, (c.contender, c.observe, c.loop))) for c in shown]
            colors = ["tab:blue" if c.contender == DAEMON else "tab:gray" for c in shown]
            axis.barh(names, rates, color=colors)
            axis.set(title=scheme)


PART = Part("lane", "How many keep-alives per CPU-second?", ABOUT, measure, table, plot)
