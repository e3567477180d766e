"""The contenders' environment: separate namespaces, and tools to disturb it.

As root, everything runs in new network, mount and process namespaces, so the host is not changed
and all processes end with the run. Without root, rows that need namespaces are reported as skipped.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.survive.lanes import LOOPBACK
from benchmarks.survive.link import Link

_OWN = "SURVIVE_NAMESPACES"
_UNSHARE = (
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
_RAISED = -10
_DISK_BYTES = 2 * 1024 * 1024
_STEP = struct.Struct("=q")


def enter(arguments: Sequence[str]) -> None:
    """Re-execute the program in new namespaces; return if the machine does not permit it."""
    if os.geteuid() != 0 or _OWN in os.environ:
        return
    tried = subprocess.run((*_UNSHARE, "true"), capture_output=True, check=False)
    if tried.returncode:
        return
    program = (sys.executable, "-m", "benchmarks.survive", *arguments)
    os.execvpe("unshare", (*_UNSHARE, *program), {**os.environ, _OWN: "yes"})  # noqa: S606


class World:
    """The disturbances of a contender from outside. `folder` is for its own files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_own = os.environ.get(_OWN) == "yes"
        self._hosts = folder / "hosts"
        self._names: set[str] = set()
        self.link: Link | None = None
        self._stepper: Path | None = None
        self._disks: list[Path] = []
        if self.is_own:
            _raise_priority()
            _run("ip", "link", "set", "lo", "up")
            self._make_names()
        self._compile()

    @property
    def far_side(self) -> tuple[str, ...]:
        """The prefix of a command to run at the far end of the bad link."""
        return self.link.far_side if self.link is not None else ()

    def open_link(self) -> None:
        """Create the bad link, if the machine permits it."""
        if not self.is_own:
            return
        link = Link()
        try:
            link.open()
        except (OSError, subprocess.CalledProcessError):
            link.close()
        else:
            self.link = link

    @property
    def can_step_clocks(self) -> bool:
        """Whether the clock of a single process can be stepped."""
        return self._stepper is not None

    def close(self) -> None:
        """Remove the disks and the link; the rest ends with the namespaces."""
        if self.link is not None:
            self.link.close()
        for disk in self._disks:
            with suppress(subprocess.CalledProcessError):
                _run("umount", "--lazy", str(disk))

    def remember_name(self, name: str) -> None:
        """Make a host name resolve."""
        self._names.add(name)
        self._write_names()

    def forget_name(self, name: str) -> None:
        """Make a host name unresolvable; there are no name servers."""
        self._names.discard(name)
        self._write_names()

    def mount_small_disk(self, folder: Path) -> None:
        """Mount a disk of 2 MB there, if the machine permits it."""
        if self.is_own:
            size = f"size={_DISK_BYTES}"
            _run("mount", "-t", "tmpfs", "-o", size, "survive", str(folder))
            self._disks.append(folder)

    def fill(self, folder: Path) -> None:
        """Fill a small disk completely."""
        with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def clock_environ(self, folder: Path) -> dict[str, str]:
        """Return the environment in which the clock of a process can be stepped."""
        file = folder / "clock-step"
        file.write_bytes(_STEP.pack(0))
        return {"LD_PRELOAD": str(self._stepper), "CLOCK_STEP_FILE": str(file)}

    def step_clock(self, folder: Path, seconds: int) -> None:
        """Step the wall clock of the processes that were started with `clock_environ`."""
        with (folder / "clock-step").open("r+b") as file:
            file.write(_STEP.pack(seconds))

    def _write_names(self) -> None:
        lines = [f"{LOOPBACK} {name}\n" for name in ("localhost", *sorted(self._names))]
        self._hosts.write_text("".join(lines))

    def _make_names(self) -> None:
        self._write_names()
        nowhere = self.folder / "resolv.conf"
        nowhere.write_text(f"nameserver {LOOPBACK}\noptions timeout:1 attempts:1\n")
        for ours, theirs in ((self._hosts, "/etc/hosts"), (nowhere, "/etc/resolv.conf")):
            _run("mount", "--bind", str(ours), theirs)

    def _compile(self) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            return
        source, built = Path(__file__).with_name("clock_step.c"), self.folder / "clock_step.so"
        built_it = subprocess.run(
            (compiler, "-shared", "-fPIC", "-O2", "-o", str(built), str(source)),
            capture_output=True,
            check=False,
        )
        if built_it.returncode == 0:
            self._stepper = built


def _raise_priority() -> None:
    """Raise the priority over other work on the machine; contenders inherit it."""
    os.nice(_RAISED - os.nice(0))
    with suppress(OSError):
        # If the kernel groups processes by terminal session, only the group's priority counts.
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(_RAISED))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
