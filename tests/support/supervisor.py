"""Receive a service's notifications in place of systemd."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 4096


class Supervisor:
    """A datagram socket; `address` is for NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[dict[str, str]]:
        """Return all messages so far, each as its fields."""
        while True:
            try:
                text = self._socket.recv(_LONGEST).decode()
            except BlockingIOError:
                return self.messages
            self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))

    def said(self, name: str, value: str = "1") -> int:
        """Return how often a field was sent with that value."""
        return sum(message.get(name) == value for message in self.read())

    def statuses(self) -> list[str]:
        """Return the status texts, in order."""
        return [message["STATUS"] for message in self.read() if "STATUS" in message]

    async def until_said(self, name: str, *, times: int = 1, seconds: float = 120.0) -> None:
        """Wait until a field was sent as 1 that often."""
        try:
            async with asyncio.timeout(seconds):
                while self.said(name) < times:  # noqa: ASYNC110 - another process sends it
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {name}=1 within {seconds} s: {self.messages}") from None


@contextmanager
def supervising(folder: Path) -> Iterator[Supervisor]:
    """Listen on a socket in `folder` while the block runs."""
    supervisor = Supervisor(str(folder / "notify"))
    try:
        yield supervisor
    finally:
        supervisor.close()
