"""Run the real daemon for the demo's uploads, and read its log."""

from __future__ import annotations

import asyncio
import glob
import json
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from keepalived.demo.serving import Served, end, start
from keepalived.demo.uploads import DemoUpload

_PASSWORD = "CLKEEPALIVED_DEMO_PASSWORD"  # noqa: S105 - the variable's name
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_READY_SECONDS = 120.0
"""Time limit for the start: a busy machine may take half a minute to start a program."""

_STOP_SECONDS = 10.0
_OUTPUT_LINES = 20


class KeeperFailed(Exception):
    """The daemon did not start; the message holds its output."""


class DemoSessionFile:
    """The session file that the daemon watches."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: str | None = None
        self.write(())

    def write(self, uploads: Iterable[DemoUpload]) -> None:
        """Write the uploads' sessions and their progress, as an upload script would."""
        lines = [
            f"  - {{id: '{each.session_id}', bytes_done: {each.sent}, bytes_total: {each.size}}}\n"
            for each in uploads
        ]
        content = "sessions:\n" + "".join(lines) if lines else "sessions: []\n"
        if content != self._content:
            temporary = self.path.with_suffix(".new")
            temporary.write_text(content)
            temporary.replace(self.path)
            self._content = content


class DemoDaemon(Served):
    """A running daemon that holds the sessions of a session file."""

    def __init__(self, process: Process, session_file: DemoSessionFile) -> None:
        super().__init__(process)
        self.session_file = session_file

    async def ready(self) -> None:
        """Wait until the daemon is ready. Raises KeeperFailed if it exits or takes too long."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not any(event["event"] == "ready" for event in self.events):
                    if not await self.has_more_output():
                        raise KeeperFailed(self.other_output())
        except TimeoutError:
            message = f"the daemon was not ready within {_READY_SECONDS:g} s"
            raise KeeperFailed("\n".join(filter(None, (message, self.other_output())))) from None

    def end_of(self, session_id: str) -> dict[str, Any] | None:
        """Return the daemon's report of the end of a session, if any."""
        ends = (event for event in self.events if event["event"] == "session_ended")
        return next((event for event in ends if event.get("session_id") == session_id), None)

    def other_output(self) -> str:
        """Return the daemon's output besides its log; empty if it runs and wrote nothing."""
        lines = [line.rstrip() for line in self.other_lines[-_OUTPUT_LINES:]]
        if self.has_ended:
            lines.insert(0, "the daemon exited unexpectedly")
        return "\n".join(lines)


@asynccontextmanager
async def keeping(
    folder: Path, url: str, username: str, password: str, lifetime: float
) -> AsyncIterator[DemoDaemon]:
    """Run the daemon on a temporary configuration until the block is left.

    `lifetime` is how long sessions live without activity, in seconds. Raises KeeperFailed.
    """
    session_file = DemoSessionFile(folder / "sessions.yaml")
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
    config.write_text(json.dumps(settings))  # JSON is YAML, and quotes any path
    # An outbound proxy cannot reach this machine's loopback addresses.
    environ = {name: each for name, each in os.environ.items() if name.lower() not in _PROXIES}
    process = await start(config, {**environ, _PASSWORD: password})
    keeper = DemoDaemon(process, session_file)
    try:
        await keeper.ready()
        yield keeper
    finally:
        # The daemon drains before it ends, within this time.
        await end(process, _STOP_SECONDS, is_ending=keeper.has_ended)
        await keeper.reading
