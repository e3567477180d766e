"""What a service tells systemd of itself: sd_notify(3), in the standard library alone."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

_TOLD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_MICRO = 1_000_000


class Notifier:
    """Sends states to whoever supervises this process, if anybody does.

    `address` is the path of a datagram socket, or, where it starts with @, the name of an abstract
    one; None sends nothing anywhere. `watchdog` is after how many seconds without a sign of life
    the process is killed; None where nobody waits for one.

    A message that cannot be sent is dropped: whether sessions are renewed must not depend on who
    listens here. systemd itself notices what it was not told.
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = address and _address(address)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens at all."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is complete."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Say in one line how things are, for people who ask `systemctl status`."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Say that a reload has begun; `ready` ends it."""
        # CLOCK_MONOTONIC is what systemd compares this with, suspend or not.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the configuration again")

    def alive(self) -> None:
        """Give the watchdog a sign of life."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", _status(status))

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A socket for each message: it is one every few seconds, and systemd may be replaced by
        # a newer one, socket and all, while this process lives.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return


def notifier(environ: MutableMapping[str, str]) -> Notifier:
    """Return the way to whoever supervises this process, as the environment tells.

    Removes what it tells from `environ`, so that no child process believes it was meant.
    """
    told = {name: environ.pop(name, "") for name in _TOLD}
    return Notifier(told["NOTIFY_SOCKET"] or None, _watchdog(told))


def _watchdog(told: dict[str, str]) -> float | None:
    """Return the watchdog's patience in seconds. See sd_watchdog_enabled(3)."""
    micro_seconds, pid = told["WATCHDOG_USEC"], told["WATCHDOG_PID"]
    is_ours = pid in ("", str(os.getpid()))
    patience = int(micro_seconds) if is_ours and micro_seconds.isdecimal() else 0
    return patience / _MICRO if patience else None


def _address(text: str) -> str | None:
    """Return the address as the socket module wants it, or None for a kind that is not ours."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
