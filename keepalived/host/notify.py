"""Notifies systemd of the service's state: sd_notify(3), with the standard library only."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

_TOLD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_MICRO = 1_000_000


class Notifier:
    """Sends states to the supervisor of this process, if there is one.

    `address` is the path of a datagram socket, or, if it starts with @, an abstract name; None
    sends nothing. `watchdog` is the time without a keep-alive, in seconds, after which the
    supervisor kills the process; None without a watchdog.

    A message that cannot be sent is dropped: renewals must not depend on the supervisor. systemd
    itself notices missing messages.
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = address and _address(address)

    @property
    def is_heard(self) -> bool:
        """Whether there is a supervisor."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Report that the start, or a reload, is complete."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Report the status in one line, for `systemctl status`."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Report that a reload has begun; `ready` ends it."""
        # systemd compares this with CLOCK_MONOTONIC, whether or not the machine was suspended.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the configuration again")

    def alive(self) -> None:
        """Send a keep-alive to the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1", _status(status))

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A new socket for each message: there is one every few seconds, and a newer systemd may
        # replace the running one, socket included, while this process runs.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return


def notifier(environ: MutableMapping[str, str]) -> Notifier:
    """Return the notifier for the supervisor that the environment names.

    Removes its variables from `environ`, so that no child process takes them as its own.
    """
    told = {name: environ.pop(name, "") for name in _TOLD}
    return Notifier(told["NOTIFY_SOCKET"] or None, _watchdog(told))


def _watchdog(told: dict[str, str]) -> float | None:
    """Return the watchdog's timeout in seconds. See sd_watchdog_enabled(3)."""
    micro_seconds, pid = told["WATCHDOG_USEC"], told["WATCHDOG_PID"]
    is_ours = pid in ("", str(os.getpid()))
    patience = int(micro_seconds) if is_ours and micro_seconds.isdecimal() else 0
    return patience / _MICRO if patience else None


def _address(text: str) -> str | None:
    """Return the address for the socket module, or None for an unsupported kind."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
