"""A contender's program, run as a unit of systemd with `Restart=always` and `RestartSec=1s`."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from keepalived.demo.serving import end

RESTART_SECONDS = 1.0
_READY_SECONDS = 60.0
_STOP_SECONDS = 3.0
_LOOK_SECONDS = 0.05

# Ways out of here that know nothing of this machine's own addresses, and other people's trust.
_FOREIGN = frozenset(
    {"http_proxy", "https_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle"}
)


class SystemdNotifier:
    """A program that is started again a second after it ended, until `stop`.

    What it says goes to `log`. `extra` is added to its environment.
    """

    def __init__(self, argv: Sequence[str], log: Path, extra: Mapping[str, str]) -> None:
        self.starts = 0
        self._argv = tuple(argv)
        self._log = log
        kept = {name: each for name, each in os.environ.items() if name.lower() not in _FOREIGN}
        self._environ = {**kept, **extra}
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it says that it is ready. Raises RuntimeError if it does not."""
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self._log}")
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while "ready" not in self.words():  # noqa: ASYNC110 - a file tells nobody
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise RuntimeError(f"not ready in time: {self._argv}\n{self.words()}") from None

    def words(self) -> str:
        """Return what it said so far."""
        with suppress(OSError):
            return self._log.read_text(errors="replace")
        return ""

    def kill(self) -> None:
        """End it by SIGKILL; it is started again a second later."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it by SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def take_its_disk(self) -> None:
        """Let it write to no file any more, by its RLIMIT_FSIZE."""
        if self._process is not None:
            hard = resource.RLIM_INFINITY
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (0, hard))

    async def stop(self) -> None:
        """End it for good."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._process is not None:
            await end(self._process, _STOP_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _supervise(self) -> None:
        while True:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ,
                )
            self.starts += 1
            await self._process.wait()
            await asyncio.sleep(RESTART_SECONDS)
