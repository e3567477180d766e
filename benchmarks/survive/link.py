"""Create a link to a network namespace that loses and delays packets.

It is a pair of veth devices with `tc netem` or, if the kernel has no netem, two TUN devices with a
small program between them that does the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.survive.lanes import LINK_FAR, LINK_NEAR

LOSS = 0.1
DELAY_SECONDS = 0.05
JITTER_SECONDS = 0.02

_NETEM = (
    *("netem", "loss", f"{LOSS:.0%}"),
    *("delay", f"{1000 * DELAY_SECONDS:.0f}ms", f"{1000 * JITTER_SECONDS:.0f}ms"),
)
_MOMENT = 0.02
_PATIENCE = 5.0


class Link:
    """The link, from `open` to `close`. Needs root. `means` names its implementation."""

    def __init__(self) -> None:
        self.means = ""
        self._far: subprocess.Popen[bytes] | None = None
        self._pump: subprocess.Popen[bytes] | None = None

    @property
    def far_side(self) -> tuple[str, ...]:
        """The prefix of a command to run at the far end."""
        return ("nsenter", f"--net={self._namespace}", "--")

    def open(self) -> None:
        """Create the link. Raises OSError or CalledProcessError if the machine cannot."""
        self._far = subprocess.Popen(("unshare", "--net", "sleep", "infinity"))
        here = os.readlink("/proc/self/ns/net")
        end = time.monotonic() + _PATIENCE
        while os.readlink(self._namespace) == here:
            if time.monotonic() > end:
                raise TimeoutError("the network namespace for the far end did not start")
            time.sleep(_MOMENT)
        self._make_veth() if self._has_netem() else self._make_tun()

    def close(self) -> None:
        """End the processes behind the link, which removes its devices."""
        for process in (self._pump, self._far):
            if process is not None:
                process.kill()
                process.wait()

    @property
    def _namespace(self) -> str:
        assert self._far is not None
        return f"/proc/{self._far.pid}/ns/net"

    def _has_netem(self) -> bool:
        tried = subprocess.run(
            ("tc", "qdisc", "add", "dev", "lo", "root", *_NETEM), capture_output=True, check=False
        )
        if tried.returncode:
            return False
        _run("tc", "qdisc", "del", "dev", "lo", "root")
        return True

    def _make_veth(self) -> None:
        assert self._far is not None
        self.means = "tc netem"
        peer = ("peer", "name", "far", "netns", str(self._far.pid))
        _run("ip", "link", "add", "near", "type", "veth", *peer)
        _run("ip", "address", "add", f"{LINK_NEAR}/30", "dev", "near")
        _run(*self.far_side, "ip", "address", "add", f"{LINK_FAR}/30", "dev", "far")
        self._bring_up()
        _run("tc", "qdisc", "add", "dev", "near", "root", *_NETEM)
        _run(*self.far_side, "tc", "qdisc", "add", "dev", "far", "root", *_NETEM)

    def _make_tun(self) -> None:
        self.means = "TUN devices, as this kernel has no netem"
        program = (sys.executable, "-m", "benchmarks.survive.pump", self._namespace)
        figures = (str(each) for each in (LOSS, DELAY_SECONDS, JITTER_SECONDS))
        self._pump = subprocess.Popen((*program, *figures), stdout=subprocess.PIPE)
        assert self._pump.stdout is not None
        if self._pump.stdout.readline().strip() != b"ready":
            raise OSError("there are no TUN devices")
        _run("ip", "address", "add", LINK_NEAR, "peer", LINK_FAR, "dev", "near")
        _run(*self.far_side, "ip", "address", "add", LINK_FAR, "peer", LINK_NEAR, "dev", "far")
        self._bring_up()

    def _bring_up(self) -> None:
        _run("ip", "link", "set", "near", "up")
        for device in ("lo", "far"):
            _run(*self.far_side, "ip", "link", "set", device, "up")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
