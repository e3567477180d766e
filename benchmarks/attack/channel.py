"""The line between the run and its helper processes: JSON objects, one to a line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from keepalived.demo.serving import end

_LONGEST_LINE = 16 * 1024 * 1024
_REPORT_SECONDS = 1.0
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_NICENESS = 10

Message = dict[str, Any]


# -- the side of the run


class Child:
    """A helper process. `counts` is the newest report of what it did.

    Messages other than reports and answers go to `on_message`.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, on_message: Callable[[Message], None]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._process = process
        self._on_message = on_message
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(), name="messages of a helper")

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell it something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def ask(self, message: Mapping[str, Any]) -> Any:
        """Ask it for something. Raises TimeoutError where it does not answer."""
        self.send({"ask": message})
        async with asyncio.timeout(_ANSWER_SECONDS):
            return (await self._answers.get())["answer"]

    async def stop(self) -> None:
        """End it, and read its last report."""
        await end(self._process, _STOP_SECONDS)
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message: Message = json.loads(line)
            if "counts" in message:
                self.counts = Counter(message["counts"])
            elif "answer" in message:
                self._answers.put_nowait(message)
            else:
                self._on_message(message)


@asynccontextmanager
async def child(
    module: str,
    order: Mapping[str, Any],
    on_message: Callable[[Message], None] = lambda _message: None,
) -> AsyncIterator[Child]:
    """Run `python -m module` with an order, until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, json.dumps(order)),
        stdin=PIPE,
        stdout=PIPE,
        limit=_LONGEST_LINE,
    )
    helper = Child(process, on_message)
    try:
        yield helper
    finally:
        await helper.stop()


# -- the side of the helper


class Channel:
    """What a helper says to the run, and hears from it. `counts` is reported every second."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.over = asyncio.Event()

    def announce(self, kinds: Iterable[str]) -> None:
        """Let each kind of attack be counted from 0, so that one that never happens shows."""
        self.counts.update(dict.fromkeys(kinds, 0))

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell the run something."""
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    async def report(self) -> None:
        """Report the counts every second, until it is over, and once more then."""
        while not self.over.is_set():
            self.say({"counts": self.counts})
            await self.pause(_REPORT_SECONDS)
        self.say({"counts": self.counts})

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.over.wait()

    async def listen(self, heard: Callable[[Message], Any]) -> None:
        """Hand each message of the run to `heard`; where one asks, say what that returns."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            message: Message = json.loads(line)
            if "ask" in message:
                self.say({"answer": heard(message["ask"])})
            else:
                heard(message)
        self.over.set()  # the run has gone


def serve(
    work: Callable[[Channel, Message], Awaitable[None]],
    heard: Callable[[Message], Any] = lambda _message: None,
    *,
    is_hostile: bool = False,
) -> None:
    """Be a helper: do `work` until SIGTERM, or until the run has gone.

    A hostile one becomes the user that the order names, if any, and yields the processor to others:
    elsewhere most of what it does would happen on other machines.
    """
    order: Message = json.loads(sys.argv[1])
    if is_hostile:
        os.nice(_NICENESS)
    _become(order.get("uid"), order.get("gid"))

    async def run() -> None:
        channel = Channel()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, channel.over.set)
        listening = asyncio.create_task(channel.listen(heard), name="messages")
        reporting = asyncio.create_task(channel.report(), name="reports")
        await work(channel, order)
        channel.over.set()
        await reporting
        listening.cancel()

    asyncio.run(run())


def _become(uid: int | None, gid: int | None) -> None:
    """Give up what root may do. What is imported later may be out of reach."""
    if uid is None or gid is None:
        return
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
