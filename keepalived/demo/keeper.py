"""The real daemon, run beside the uploads, and what it says in its log."""

from __future__ import annotations

import asyncio
import glob
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from keepalived.demo.uploads import Upload

_PASSWORD = "CLKEEPALIVED_DEMO_PASSWORD"  # noqa: S105 - the variable's name
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_READY_SECONDS = 10.0
_STOP_SECONDS = 3.0
_LONGEST_LINE = 1024 * 1024
_LAST_WORDS = 20


class KeeperFailed(Exception):
    """The daemon did not come up; the message holds what it said."""


class SessionFile:
    """The file that tells the daemon what to hold. It finds out about changes by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: str | None = None
        self.write(())

    def write(self, uploads: Iterable[Upload]) -> None:
        """Name these uploads' sessions and how far they are, as an upload script would."""
        lines = [
            f"  - {{id: '{each.session_id}', bytes_done: {each.sent}, bytes_total: {each.size}}}\n"
            for each in uploads
        ]
        content = "sessions:\n" + "".join(lines) if lines else "sessions: []\n"
        if content != self._content:
            beside = self.path.with_suffix(".new")
            beside.write_text(content)
            beside.replace(self.path)
            self._content = content


class Keeper:
    """A running `clkeepalived serve`. `events` are the lines of its log."""

    def __init__(self, process: Process, session_file: SessionFile) -> None:
        self.session_file = session_file
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._other_words: list[str] = []
        self._has_ended = False
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="daemon's log")

    async def ready(self) -> None:
        """Wait until the daemon is. Raises KeeperFailed if it ends first, or takes too long."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not any(event["event"] == "ready" for event in self.events):
                    if not await self.says_more():
                        raise KeeperFailed(self.complaint())
        except TimeoutError:
            words = f"the daemon was not ready within {_READY_SECONDS:g} s"
            raise KeeperFailed("\n".join(filter(None, (words, self.complaint())))) from None

    def end_of(self, session_id: str) -> dict[str, Any] | None:
        """Return what the daemon reported at the end of a session."""
        for event in self.events:
            if event["event"] == "session_ended" and event.get("session_id") == session_id:
                return event
        return None

    def complaint(self) -> str:
        """Return what the daemon said besides its log; empty if it runs and said nothing."""
        words = self._other_words[-_LAST_WORDS:]
        if self._has_ended:
            words.insert(0, "the daemon ended by itself")
        return "\n".join(words)

    async def says_more(self) -> bool:
        """Wait until the daemon says something more. False: it has ended, and never will."""
        if not self._has_ended:
            self._more.clear()
            await self._more.wait()
        return not self._has_ended

    async def stop(self) -> None:
        """Let the daemon drain and end, within reason."""
        # Signalling a process that has just ended would reap it, of which asyncio complains.
        if self._process.returncode is None and not self._has_ended:
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        async for line in self._process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self._other_words.append(line.decode(errors="replace").rstrip())
            self._more.set()
        self._has_ended = True
        self._more.set()


@asynccontextmanager
async def keeping(
    folder: Path, url: str, username: str, password: str, lifetime: float
) -> AsyncIterator[Keeper]:
    """Run the daemon on a configuration made for the occasion until the block is left.

    `lifetime` is what sessions live without activity, in seconds. Raises KeeperFailed.
    """
    session_file = SessionFile(folder / "sessions.yaml")
    config = folder / "config.yaml"
    settings = {
        "vcenters": {
            "demo": {
                "url": url,
                "username": username,
                "password_env": _PASSWORD,
                "session_timeout": lifetime,
            }
        },
        "session_files": [glob.escape(str(session_file.path))],
        "http": {"listen": "127.0.0.1:0"},
        "control": {"socket": str(folder / "control.sock")},
        "state": {"path": str(folder / "state.db")},
        "log": {"format": "json", "level": "info"},
    }
    config.write_text(json.dumps(settings))  # which is YAML, whatever the folder is called
    # A proxy on the way out of here knows nothing of this machine's own addresses.
    environ = {name: each for name, each in os.environ.items() if name.lower() not in _PROXIES}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "keepalived.cli", "serve", "--config", str(config)),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        limit=_LONGEST_LINE,
        env={**environ, _PASSWORD: password},
    )
    keeper = Keeper(process, session_file)
    try:
        await keeper.ready()
        yield keeper
    finally:
        await keeper.stop()
