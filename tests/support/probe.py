"""Run `clkeepalived probe` on the fake clock, with a simulator that is also used by others."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keepalived.lease.model import Kind
from keepalived.probe.findings import Finding, Question
from keepalived.probe.notes import Trial
from keepalived.probe.report import Report
from keepalived.probe.run import Probe, ProbeOptions
from keepalived.probe.scratch import PREFIX
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response
from tests.support.engine import NAME, LoopClock, settings_of, simulator_in_loop
from tests.support.memory_transport import MemoryUploads
from tests.support.vcenter import changed

LIBRARY = "scratch"
Handle = Callable[[Request, AsyncIterator[bytes] | None], Awaitable[Response]]


@dataclass
class RecordingDisplay:
    """A display that shows nothing, and records the texts."""

    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, trials: Sequence[Trial], expected: float) -> None:
        """Do nothing."""

    def show(self, trial: Trial, state: str) -> None:
        self.said.append(f"{trial}: {state}")

    async def run(self) -> None:
        await asyncio.Event().wait()

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Bystanders:
    """Objects on the vCenter before the probe, with names like those of a probe."""

    simulator: Simulator
    libraries: frozenset[str]
    items: frozenset[str]
    sessions: frozenset[str]

    @classmethod
    def on(cls, simulator: Simulator) -> Bystanders:
        """Create two libraries, and in the probe's an item with a session."""
        catalog = simulator.library.catalog
        library = catalog.create_library(LIBRARY)
        catalog.create_library(f"{LIBRARY}-2")
        items = [catalog.create_item(library.id, f"{PREFIX}{name}") for name in ("get", "0-get")]
        session = simulator.library.open_session(simulator.username, item=items[0])
        session.expires_at = session.announced_expiry = math.inf
        return cls(simulator, *_all(simulator))

    def check_all_is_as_it_was(self) -> None:
        """Fail unless they exist unchanged, and nothing else exists."""
        assert (self.libraries, self.items, self.sessions) == _all(self.simulator)
        for session_id in self.sessions:
            assert self.simulator.ledger.requests(session_id=session_id) == []


def _all(simulator: Simulator) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    library = simulator.library
    return (
        frozenset(each.id for each in library.catalog.libraries()),
        frozenset(each.id for each in library.catalog.items()),
        frozenset(each.id for each in library.sessions.all(Kind.UPDATE)),
    )


class Stand:
    """A simulator with bystanders, and a probe of it."""

    def __init__(self, **options: Any) -> None:
        self.simulator = simulator_in_loop(**options)
        self.bystanders = Bystanders.on(self.simulator)
        self.display = RecordingDisplay()

    def probe(
        self,
        handle: Handle | None = None,
        *,
        library: str = LIBRARY,
        datastore: str | None = None,
        limit: float = 480.0,
        **settings: Any,
    ) -> Probe:
        """Return a probe whose requests go through `handle`."""
        vcenter = changed(settings_of(self.simulator, "http://vcenter.test"), **settings)
        options = ProbeOptions(NAME, vcenter, library, datastore, limit, "test")
        transport = MemoryUploads(handle or self.simulator.handle)
        return Probe(options, transport, LoopClock(), self.display)


def answers(report: Report) -> dict[Question, Finding]:
    """Return the findings by their questions."""
    return {finding.question: finding for finding in report.findings}
