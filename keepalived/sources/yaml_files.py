"""Holds the sessions that YAML files name: the configuration, and any number of session files.

A thread scans the files every two seconds (see `file_scan`), and the event loop updates the holds.
A hold belongs to the file that names the session: a session in two files has two holds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.files import readable_path
from keepalived.host.slices import SliceTimer
from keepalived.keeper.registry import Registry
from keepalived.lease.events import Listener, SourceFailed, SourceRecovered
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind, latest_until
from keepalived.lease.model import SessionKey
from keepalived.settings import Settings
from keepalived.sources.attempts import Attempt, Attempts
from keepalived.sources.changes import FileChange, FileState
from keepalived.sources.file_scan import FileScan

log = structlog.get_logger("clkeepalived")

SCAN_SECONDS = 2.0


class YamlFiles:
    """Updates the holds in `registry` from the files, while `run` runs.

    `config` is the file that `settings` came from. Changes to its sessions take effect as in the
    other files; changes to the rest need a reload. Without it, the sessions in `settings` are held.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        listener: Listener,
        clock: Clock,
        *,
        config: Path | None = None,
    ) -> None:
        self.read_once = asyncio.Event()
        """Set when all files have been read once."""
        self._settings = settings
        self._registry = registry
        self._notify = listener.notify
        self._clock = clock
        self._config = config
        self._uid = os.getuid()
        self._states: dict[str, FileState] = {}
        self._scanning = asyncio.Lock()
        self._attempts = Attempts(clock)
        self._slice = SliceTimer()

    @property
    def hanging(self) -> tuple[str, ...]:
        """Files and patterns at which a scan has been hanging for long."""
        return tuple(map(readable_path, self._attempts.hanging))

    async def run(self) -> None:
        """Scan the files periodically, until cancelled."""
        async with self._scanning:
            await self._scan(afresh=True)
        while True:
            if not self._attempts.is_undecided:
                self.read_once.set()
            await sleep_until(self._clock, self._clock.boot() + SCAN_SECONDS)
            async with self._scanning:
                await self._scan(afresh=False)

    async def apply(self, settings: Settings) -> None:
        """Apply new settings; return when the holds match them.

        Unchanged holds are not touched. The keepers of new vCenters must be attached.
        """
        async with self._scanning:
            self._settings = settings
            await self._scan(afresh=True)

    async def _scan(self, *, afresh: bool) -> None:
        def scan(attempt: Attempt) -> list[FileChange]:
            return FileScan(self._settings, self._config, self._states, afresh, attempt).run()

        for change in await self._attempts.run(scan) or ():
            try:
                for _ in self._apply(change):
                    # Let other tasks run every few milliseconds, across all files.
                    if self._slice.is_over():
                        await asyncio.sleep(0)
            except Exception:
                # Any error concerns this file alone. Its next change is processed again.
                log.exception("source_not_applied", source=readable_path(change.path))

    def _apply(self, change: FileChange) -> Iterator[None]:
        """Update the holds of a file, and yield after each of them."""
        source, state = readable_path(change.path), change.state
        before = self._states.pop(change.path, FileState())
        if state != FileState():
            self._states[change.path] = state
        problems = state.problems
        if sorted(problems) != sorted(before.problems):
            if problems:
                self._notify(SourceFailed(source, problems))
            else:
                self._notify(SourceRecovered(source))
        yield
        owner = Owner(OwnerKind.FILE, source)
        for key in change.taken:
            self._hold(key, owner, change, is_taken=True)
            yield
        for key in change.updated:
            self._hold(key, owner, change, is_taken=False)
            yield
        for key in change.released:
            self._registry.release(key, self._uid, owner)
            yield

    def _hold(self, key: SessionKey, owner: Owner, change: FileChange, *, is_taken: bool) -> None:
        """Take or update the hold of an entry. An update does not hold an ended session again."""
        options, files = change.state.entries[key], change.state.named.get(key)
        session = self._registry.find(key)
        holds = session.holds if session else ()
        held = next((hold for hold in holds if hold.is_by(self._uid, owner)), None)
        # A token that was not read again stays as it is, refused or not.
        token = held.token if held is not None and options.token_file is not None else None
        lent = change.tokens.get(key)
        if lent is not None and lent != (token.value if token else ""):
            token = LentToken(lent) if lent else None
        progress = options.known_progress(files.size if files else None)
        if is_taken:
            now = self._clock.boot()
            until = latest_until(OwnerKind.FILE, now, options.max_lifetime)
            held = Hold(self._uid, owner, now, until, progress, options.note, token)
        elif held is not None:
            held = replace(held, progress=progress, token=token)
        if held is not None:
            self._registry.hold(key, held)
