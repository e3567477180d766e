"""How many keep-alives a CPU-second buys: the daemon's whole lane beside what people would use.

Each takes its turn against the same nginx, in rounds, so that whatever else the machine does falls
on all of them. The daemon is measured as it is shipped: schedule, core, metrics, log and state
file. With `observe: minimal` it has more to do than it can (20,000 sessions); with `state` and
`files`, which look at sessions only where there is time for it, it has room.
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
    """Who is measured how. `loop` is empty where there is none."""

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
    """What was done in `cpu_seconds`: keep-alives, and all requests that belong to them."""

    keep_alives: float
    requests: float
    cpu_seconds: float


def cells(schemes: Sequence[str] = SCHEMES) -> list[Cell]:
    """Return everything there is to measure, in the order in which turns are taken."""
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
                said = f"{one.keep_alives / one.cpu_seconds:6.0f} keep-alives per CPU-second"
                print(f"round {number + 1} of {rounds}: {cell.name:38} {said}", file=sys.stderr)
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
    """Return how many requests a CPU-second buys, beside the rival's of the same rounds."""
    if rival is None:
        return None
    return statistics.median(
        _rate(one) * _requests(one) / _rate(other) for one, other in zip(own, rival, strict=True)
    )


@contextmanager
def target() -> Iterator[tuple[Nginx, Path]]:
    """Run nginx; yield it, and govmomi's program, compiled."""
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
    told = json.loads(output)
    return Measured(told["keep_alives"], told["keep_alives"], told["cpu_seconds"])


_COMMANDS = {
    BARE: (sys.executable, "-m", "benchmarks.contenders.bare_aiohttp"),
    SDK: (sys.executable, "-m", "benchmarks.contenders.vmware_sdk"),
    REQUESTS: (sys.executable, "-m", "benchmarks.contenders.plain_requests"),
}


def build_govmomi(binary: Path) -> Path:
    """Compile the program on Debian's govmomi, once."""
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
    # The first rounds of a session look at more than later ones do.
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
        # Counted by nginx, exactly between two readings of the CPU time; the share of keep-alives
        # among the requests is told by the daemon itself.
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
    """Return a table with everybody's rates, and the daemon's ratios to those of the rivals."""
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
    head = ("who", "scheme", "loop", "keep-alives per CPU-second", "requests each")
    return markdown((*head, *(f"beside {to}" for to in _RIVALS)), rows)


_RIVALS = (BARE, SDK, REQUESTS, GOVMOMI)

ABOUT = """\
Each takes its turn against the same nginx, in rounds, so that whatever else the machine does
falls on all of them; CPU time is the client's own, the kernel's work for it included. The daemon
is its whole lane: schedule, core, metrics, log, and a state file. Ratios compare requests per
CPU-second within a round, on the same event loop where there is one, and are medians of the
rounds. `bare aiohttp` is the ceiling of the library's client session: a prepared loop of requests
whose answers nobody looks at. The daemon's own requests go past that session."""


def plot(answer: Answer, path: Path) -> None:
    """Draw everybody's requests per CPU-second."""
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


PART = Part("lane", "How many keep-alives does a CPU-second buy?", ABOUT, measure, table, plot)
