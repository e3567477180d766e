"""Run the source of YAML files on a folder, with idle keepers, on the fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease import events
from keepalived.lease.holds import Hold
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.settings import Settings
from keepalived.sources.yaml_files import YamlFiles
from keepalived.validation import validate
from tests.support.engine import LoopClock

LOOK = 2.0
WEEK = 7 * 86400.0


class Recorder:
    """A listener that records the events of sources and holds."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []
        self.problems: list[str] = []
        self.taken: list[SessionKey] = []

    def notify(self, event: events.Event) -> None:
        match event:
            case events.HoldTaken(key):
                self.taken.append(key)
            case events.SourceFailed(source, problems):
                self.problems = list(problems)
                why = (each.partition(": ")[2] for each in problems)
                self.heard.append(("failed", Path(source).name, *why))
            case events.SourceRecovered(source):
                self.heard.append(("recovered", Path(source).name))


@dataclass
class Site:
    """A folder of session files, the source that watches it, and the registry of the holds."""

    folder: Path
    clock: LoopClock
    registry: Registry
    ear: Recorder
    source: YamlFiles
    settings: Settings

    def holds(self) -> dict[str, int | None]:
        """Return the held ids with the progress of each hold."""
        return {
            session.key.id: hold.progress.client_progress
            for session in self.registry
            for hold in session.holds
        }

    def hold(self, name: str, vcenter: str = "lab") -> Hold:
        session = self.registry.find(SessionKey(vcenter, Kind.UPDATE, name))
        assert session is not None
        (hold,) = session.holds
        return hold

    def end(self, name: str) -> None:
        """End a session, as the server's answers would."""
        session = self.registry.find(SessionKey("lab", Kind.UPDATE, name))
        assert session is not None
        self.registry.commit(session._replace(state=State.DONE, holds=()), ())

    def write(self, name: str, text: str) -> Path:
        """Write a file atomically, by renaming it into place."""
        path = self.folder / name
        draft = self.folder / f".{name}.draft"
        draft.write_text(text, encoding="utf-8")
        return draft.replace(path)


def settings(folder: Path, *vcenters: str, **more: Any) -> Settings:
    return validate(
        Settings,
        {
            "vcenters": {name: {"url": f"https://{name}"} for name in vcenters or ("lab",)},
            "session_files": [f"{folder}/*.yaml"],
            **more,
        },
    )


@asynccontextmanager
async def site(
    folder: Path, *vcenters: str, config: Path | None = None, **more: Any
) -> AsyncIterator[Site]:
    """Run the source after one scan of the folder."""
    clock = LoopClock()
    ear = Recorder()
    registry = Registry(ear, clock, Retention())
    for name in ("lab", "prod"):
        # The keepers are registered but not running, so no requests are sent.
        registry.attach(Keeper(name, None, RenewalPolicy(), registry, ear, clock))  # type: ignore[arg-type]
    watched = settings(folder, *vcenters, **more)
    source = YamlFiles(watched, registry, ear, clock, config=config)
    running = asyncio.create_task(source.run())
    reading = asyncio.create_task(source.read_once.wait())
    try:
        await asyncio.wait([running, reading], return_when=asyncio.FIRST_COMPLETED)
        assert reading.done(), running.exception()
        yield Site(folder, clock, registry, ear, source, watched)
    finally:
        reading.cancel()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled(), running.exception()


def sessions(**progress: int | None) -> str:
    """Return a session file with these ids, each with its progress."""
    lines = [
        f"- {{id: {name}}}" if done is None else f"- {{id: {name}, progress: {done}}}"
        for name, done in progress.items()
    ]
    return "sessions:\n" + "\n".join(lines) + "\n" if lines else "sessions: []\n"
