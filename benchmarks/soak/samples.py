"""Sample the daemon every few seconds: from /proc, and tasks and objects by its probe."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

_PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The daemon at one moment. Sizes are bytes, `at` is seconds since the soak began.

    `anonymous` is its private memory without files: heap and stacks. Other measures change whenever
    another program starts or stops to share a library with it. `to_vcenters` are the descriptors of
    connections to vCenters, which are pooled for minutes; `descriptors` are all others. `tasks` and
    `objects` are None if the daemon did not answer.
    """

    at: float
    phase: str
    rss: int
    anonymous: int
    descriptors: int
    to_vcenters: int
    threads: int
    tasks: int | None
    objects: int | None
    state_file: int
    state_log: int
    cpu: float

    def as_row(self) -> list[float | str | None]:
        """Return the sample as it is written to JSON, in the order of the fields."""
        return [round(each, 2) if isinstance(each, float) else each for each in astuple(self)]


class Sampler:
    """Samples one process. `ports` are those of the vCenters, `state` is the state file.

    `types` holds the number of objects of each type, for each sample after a garbage collection.
    """

    def __init__(self, pid: int, ports: set[int], state: Path, probe: Path) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._pid = pid
        self._ports = ports
        self._state = state
        self._probe = probe
        self._began = time.monotonic()
        self.types: list[Counter[str]] = []

    async def take(self, phase: str, *, tidily: bool = False) -> Sample:
        """Take a sample; with `tidily` after the daemon has collected its garbage.

        Raises FileNotFoundError if the process is gone.
        """
        tasks, objects = await self._ask(tidily)
        memory = _fields(self._proc / "smaps_rollup")
        status = _fields(self._proc / "status")
        pooled, others = self._descriptors()
        return Sample(
            at=time.monotonic() - self._began,
            phase=phase,
            rss=1024 * memory["Rss"],
            anonymous=1024 * memory["Anonymous"],
            descriptors=others,
            to_vcenters=pooled,
            threads=status["Threads"],
            tasks=tasks,
            objects=objects,
            state_file=_size(self._state),
            state_log=_size(self._state.with_name(self._state.name + "-wal")),
            cpu=self._cpu(),
        )

    def _descriptors(self) -> tuple[int, int]:
        """Return the number of descriptors of connections to vCenters, and of all others."""
        pooled = _sockets_to(self._ports, self._proc / "net" / "tcp")
        leads = []
        for each in (self._proc / "fd").iterdir():
            with suppress(FileNotFoundError):
                leads.append(os.readlink(each))
        to_vcenters = sum(lead in pooled for lead in leads)
        return to_vcenters, len(leads) - to_vcenters

    async def _ask(self, tidily: bool) -> tuple[int | None, int | None]:
        """Request the daemon's tasks and objects; None if it is too busy or stuck."""
        self._probe.unlink(missing_ok=True)
        os.kill(self._pid, signal.SIGUSR1 if tidily else signal.SIGUSR2)
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                while not self._probe.exists():  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return None, None
        answer = json.loads(self._probe.read_text())
        if tidily:
            self.types.append(Counter(answer["types"]))
        return answer["tasks"], answer["objects"]

    def _cpu(self) -> float:
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fields(path: Path) -> dict[str, int]:
    """Read lines of the form `Name:  1234 kB`."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0])
    return found


def _sockets_to(ports: set[int], table: Path) -> set[str]:
    """Return the sockets with a peer on one of the ports, as /proc/PID/fd calls them."""
    found = set()
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) in ports:
            found.add(f"socket:[{fields[9]}]")
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
