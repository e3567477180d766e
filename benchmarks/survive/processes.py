"""Run a contender's program like a systemd unit with `Restart=always` and `RestartSec=1s`."""

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

# Variables that set proxies, which cannot reach this machine, and other certificate authorities.
_FOREIGN = frozenset(
    {"http_proxy", "https_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle"}
)


class RestartedProgram:
    """A program that is restarted a second after its end, until `stop`.

    Its output goes to `log`. `extra` is added to its environment.
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
        """Start the program, and wait until it reports being ready. Raises RuntimeError."""
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self._log}")
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while "ready" not in self.output():  # noqa: ASYNC110 - a file sends no event
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise RuntimeError(f"not ready in time: {self._argv}\n{self.output()}") from None

    def output(self) -> str:
        """Return its output so far."""
        with suppress(OSError):
            return self._log.read_text(errors="replace")
        return ""

    def kill(self) -> None:
        """Kill it by SIGKILL; it is restarted a second later."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Suspend it by SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it by SIGCONT."""
        self._signal(signal.SIGCONT)

    def take_its_disk(self) -> None:
        """Make all its writes to files fail, by RLIMIT_FSIZE."""
        if self._process is not None:
            hard = resource.RLIM_INFINITY
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (0, hard))

    async def stop(self) -> None:
        """Stop it without a restart."""
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
