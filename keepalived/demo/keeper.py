"""The real daemon, run beside the uploads, and what it says in its log."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keepalived.demo.uploads import Upload

_PASSWORD = "CLKEEPALIVED_DEMO_PASSWORD"  # noqa: S105 - the variable's name
_READY_SECONDS = 20.0
_STOP_SECONDS = 15.0


class KeeperFailed(Exception):
    """The daemon did not come up; the message holds what it said."""


class Keeper:
    """A `clkeepalived serve` on a configuration made for the occasion."""

    def __init__(self, folder: Path, url: str, username: str, password: str, lifetime: float):
        self._config = folder / "config.yaml"
        self._sessions = folder / "sessions.yaml"
        self._password = password
        self._config.write_text(
            f"vcenters:\n"
            f"  demo:\n"
            f"    url: {url}\n"
            f"    username: {username}\n"
            f"    password_env: {_PASSWORD}\n"
            f"    session_timeout: {lifetime:g}s\n"
            f"session_files: [{self._sessions}]\n"
            f"http: {{listen: '127.0.0.1:0'}}\n"
            f"control: {{socket: {folder / 'control.sock'}}}\n"
            f"state: {{path: {folder / 'state.db'}}}\n"
            f"log: {{format: json, level: debug}}\n"
        )
        self.hold(())
        self.events: list[dict[str, Any]] = []
        self._said: list[str] = []
        self._ready = asyncio.Event()
        self._more = asyncio.Event()
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Keeper:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keepalived.cli", "serve", "--config", str(self._config)),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, _PASSWORD: self._password},
        )
        self._reading = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            await self.stop()
            raise KeeperFailed("\n".join(self._said) or "the daemon did not get ready") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def hold(self, uploads: Iterable[Upload]) -> None:
        """Write the session file: the daemon finds out by itself."""
        lines = [
            f"  - {{id: '{each.session_id}', bytes_done: {each.sent}, bytes_total: {each.size}}}\n"
            for each in uploads
        ]
        beside = self._sessions.with_suffix(".new")
        beside.write_text("sessions:\n" + "".join(lines) if lines else "sessions: []\n")
        beside.replace(self._sessions)

    def end_of(self, session_id: str) -> dict[str, Any] | None:
        """Return what the daemon reported at the end of a session."""
        for event in self.events:
            if event["event"] == "session_ended" and event.get("session_id") == session_id:
                return event
        return None

    async def next_event(self) -> None:
        """Wait until the daemon says something more."""
        self._more.clear()
        await self._more.wait()

    async def stop(self) -> None:
        """Let the daemon drain and end. Idempotent."""
        if self._process.returncode is None:
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
                event = json.loads(line)
            except ValueError:
                self._said.append(line.decode(errors="replace").rstrip())
                continue
            self.events.append(event)
            self._more.set()
            if event["event"] == "ready":
                self._ready.set()
