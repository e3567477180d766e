"""Notifies systemd of the service's state, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_MICRO = 1_000_000


class Notifier:
    """Sends states to the supervisor of this process, if there is one.

    `address` is the path of a datagram socket, or an abstract name that starts with @; with None,
    nothing is sent. `watchdog` is the time without a keep-alive, in seconds, after which the
    supervisor kills the process; None if there is no watchdog.

    Messages that cannot be sent are dropped, because renewals must not depend on the supervisor.
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
        """Report the status as one line, for `systemctl status`."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Report that a reload has begun; `ready` ends it."""
        # systemd requires CLOCK_MONOTONIC here, which does not count suspended time.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading the configuration")

    def alive(self) -> None:
        """Send a keep-alive to the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1", _status(status))

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A new socket for each message, because an upgrade of systemd may replace its socket while
        # this process runs.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return


def notifier(environ: MutableMapping[str, str]) -> Notifier:
    """Return the notifier for the supervisor in the environment.

    Removes its variables from `environ`, so that child processes do not use them.
    """
    variables = {name: environ.pop(name, "") for name in _VARIABLES}
    return Notifier(variables["NOTIFY_SOCKET"] or None, _watchdog(variables))


def _watchdog(variables: dict[str, str]) -> float | None:
    """Return the watchdog's timeout in seconds. See sd_watchdog_enabled(3)."""
    micro_seconds, pid = variables["WATCHDOG_USEC"], variables["WATCHDOG_PID"]
    is_ours = pid in ("", str(os.getpid()))
    timeout = int(micro_seconds) if is_ours and micro_seconds.isdecimal() else 0
    return timeout / _MICRO if timeout else None


def _address(text: str) -> str | None:
    """Return the address for the socket module, or None for an unsupported kind."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
