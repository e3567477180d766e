"""Exchange JSON lines between the run and its helper processes."""

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
    """A helper process, seen from the run. `counts` is its newest report of what it did.

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
        """The process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message to the helper."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def ask(self, message: Mapping[str, Any]) -> Any:
        """Send a request to the helper and return its answer. Raises TimeoutError."""
        self.send({"ask": message})
        async with asyncio.timeout(_ANSWER_SECONDS):
            return (await self._answers.get())["answer"]

    async def stop(self) -> None:
        """Stop the helper, and read its last report."""
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
    """Run `python -m module` with an order while the block runs."""
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
    """The helper's side of the connection to the run. `counts` is reported every second."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.over = asyncio.Event()

    def announce(self, kinds: Iterable[str]) -> None:
        """Set the count of each kind of attack to 0, so that kinds that never happen are shown."""
        self.counts.update(dict.fromkeys(kinds, 0))

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message to the run."""
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    async def report(self) -> None:
        """Report the counts every second until the attack is over, and once more at its end."""
        while not self.over.is_set():
            self.send({"counts": self.counts})
            await self.pause(_REPORT_SECONDS)
        self.send({"counts": self.counts})

    async def pause(self, seconds: float) -> None:
        """Wait, but at most until the attack is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.over.wait()

    async def listen(self, handle: Callable[[Message], Any]) -> None:
        """Pass each message of the run to `handle`; answer requests with what it returns."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            message: Message = json.loads(line)
            if "ask" in message:
                self.send({"answer": handle(message["ask"])})
            else:
                handle(message)
        self.over.set()  # the run has ended


def serve(
    work: Callable[[Channel, Message], Awaitable[None]],
    handle: Callable[[Message], Any] = lambda _message: None,
    *,
    is_hostile: bool = False,
) -> None:
    """Run `work` as a helper until SIGTERM, or until the run has ended.

    A hostile helper becomes the user that the order names, if any, and lowers its priority: in
    reality most of its work would happen on other machines.
    """
    order: Message = json.loads(sys.argv[1])
    if is_hostile:
        os.nice(_NICENESS)
    _become(order.get("uid"), order.get("gid"))

    async def run() -> None:
        channel = Channel()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, channel.over.set)
        listening = asyncio.create_task(channel.listen(handle), name="messages")
        reporting = asyncio.create_task(channel.report(), name="reports")
        await work(channel, order)
        channel.over.set()
        await reporting
        listening.cancel()

    asyncio.run(run())


def _become(uid: int | None, gid: int | None) -> None:
    """Drop root's privileges. Later imports may fail for lack of access."""
    if uid is None or gid is None:
        return
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
