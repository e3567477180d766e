"""Sessions named in YAML: in the configuration, and in any number of session files.

Every two seconds a thread looks at the files (see `survey`), and the loop makes holds of what it
found. A hold belongs to the file that names the session: two files that name the same one are two
holds.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import structlog

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.files import readable_path
from keepalived.host.slices import SliceTimer
from keepalived.keeper.registry import Registry
from keepalived.lease.events import Listener, SourceFailed, SourceRecovered
from keepalived.lease.holds import Borrowed, Hold, Owner, OwnerKind
from keepalived.lease.model import SessionKey
from keepalived.settings import Settings
from keepalived.sources.attempts import Attempt, Attempts
from keepalived.sources.survey import Known, News, Survey

log = structlog.get_logger("clkeepalived")

LOOK_SECONDS = 2.0


class YamlFiles:
    """Keeps the holds in `registry` as the files say, while `run` runs.

    `config` is the file that `settings` came from. Its sessions are watched like those of the
    other files; the rest of it waits for a reload. Without it the sessions in `settings` stand.
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
        """Set once everything was looked at for the first time."""
        self._settings = settings
        self._registry = registry
        self._notify = listener.notify
        self._clock = clock
        self._config = config
        self._uid = os.getuid()
        self._known: dict[str, Known] = {}
        self._looking = asyncio.Lock()
        self._attempts = Attempts(clock)
        self._slice = SliceTimer()

    @property
    def hanging(self) -> tuple[str, ...]:
        """Files, and patterns of files, at which a look has been hanging for long."""
        return tuple(map(readable_path, self._attempts.hanging))

    async def run(self) -> None:
        """Look at the files again and again, until cancelled."""
        async with self._looking:
            await self._look(afresh=True)
        while True:
            if not self._attempts.is_undecided:
                self.read_once.set()
            await sleep_until(self._clock, self._clock.boot() + LOOK_SECONDS)
            async with self._looking:
                await self._look(afresh=False)

    async def apply(self, settings: Settings) -> None:
        """Go by new settings from now on; return when the holds are as they say.

        What they leave as it was is not touched. The keepers of new vCenters must be attached.
        """
        async with self._looking:
            self._settings = settings
            await self._look(afresh=True)

    async def _look(self, *, afresh: bool) -> None:
        def look(attempt: Attempt) -> list[News]:
            return Survey(self._settings, self._config, afresh, attempt).news(self._known)

        for news in await self._attempts.look(look) or ():
            try:
                await self._take_in(news)
            except Exception:
                # Whatever it is, it is about this file alone; the next change of it is tried anew.
                log.exception("source_not_applied", source=readable_path(news.path))

    async def _take_in(self, news: News) -> None:
        known, path = news.known, news.path
        source = readable_path(path)
        before = self._known.get(path, Known())
        problems = known.problems if known else ()
        if problems != before.problems:
            if problems:
                self._notify(SourceFailed(source, problems))
            else:
                self._notify(SourceRecovered(source))
        if known is None:
            self._known.pop(path, None)
        else:
            self._known[path] = known
        await self._carry_out(news)

    async def _carry_out(self, news: News) -> None:
        changes, owner = news.changes, Owner(OwnerKind.FILE, readable_path(news.path))
        if changes is not None:
            for key in changes.taken:
                self._take(key, owner, news)
                await self._pause_if_due()
            for key in changes.updated:
                self._update(key, owner, news)
                await self._pause_if_due()
        for key in news.updated:
            self._update(key, owner, news)
            await self._pause_if_due()
        if changes is not None:
            for key in changes.let_go:
                self._registry.release(key, self._uid, owner)
                await self._pause_if_due()
        await self._pause_if_due()

    async def _pause_if_due(self) -> None:
        """Let the loop do something else after a few milliseconds of work, of whatever files."""
        if self._slice.is_over():
            await asyncio.sleep(0)

    def _take(self, key: SessionKey, owner: Owner, news: News) -> None:
        entry, now = news.entry(key), self._clock.boot()
        hold = Hold(self._uid, owner, now, entry.latest_until(now), note=entry.note)
        self._registry.hold(key, _as_known(hold, key, news, self._held(key, owner)))

    def _update(self, key: SessionKey, owner: Owner, news: News) -> None:
        """Update the hold if it is still there: this does not start an ended session anew."""
        held = self._held(key, owner)
        if held is not None:
            self._registry.hold(key, _as_known(held, key, news, held))

    def _held(self, key: SessionKey, owner: Owner) -> Hold | None:
        session = self._registry.find(key)
        holds = session.holds if session else ()
        return next((hold for hold in holds if hold.is_by(self._uid, owner)), None)


def _as_known(hold: Hold, key: SessionKey, news: News, held: Hold | None) -> Hold:
    """Return a hold with the progress and the token that are known now.

    A token that stands as it stood is the one that `held` has, refused or not.
    """
    entry, seen = news.entry(key), news.seen(key)
    token = held.token if held is not None and entry.token_file is not None else None
    if key in news.tokens:
        value = news.tokens[key]
        if value is None:
            token = None
        elif token is None or token.value != value:
            token = Borrowed(value)
    return replace(hold, progress=entry.known_progress(seen.size), token=token)
