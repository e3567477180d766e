"""Run and measure `clkeepalived serve` with a generated configuration."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.nginx import free_port

_CONFIG = """
vcenters:
  target: {{url: "{url}", {trust}username: bench, password_env: BENCH_PASSWORD,
           dialect: api, observe: {observe}, session_timeout: {lifetime},
           request_timeout: {request_timeout}}}
session_files: [{directory}/sessions.yaml]
http: {{listen: "127.0.0.1:{http}"}}
control: {{socket: {directory}/control.sock}}
state: {{path: {directory}/state.db}}
"""
_WITHOUT_UVLOOP = (
    "import sys; sys.modules['uvloop'] = None; from keepalived.cli.main import main; main()"
)
LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that is ready. `ready_after` is in seconds from the start of its process."""

    process: subprocess.Popen[bytes]
    directory: Path
    address: str
    ready_after: float

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all its threads, in user and kernel mode."""
        return cpu_seconds(self.process.pid)

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        return resident_bytes(self.process.pid)

    def peak_memory(self) -> int:
        """Return the peak resident memory in bytes."""
        return _status(self.process.pid, "VmHWM")

    def metrics(self) -> dict[str, float]:
        """Return the scraped samples by name and, if there is one, bound or outcome.

        Samples that differ in other labels are added up.
        """
        with urllib.request.urlopen(self.address + "/metrics", timeout=60) as answer:
            text = answer.read().decode()
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name
                for label in ("le", "outcome", "state"):
                    if label in sample.labels:
                        name += f"{{{label}={sample.labels[label]}}}"
                values[name] = values.get(name, 0.0) + sample.value
        return values

    def keep_alives(self) -> float:
        """Return the number of successful keep-alives."""
        return self.metrics()["clkeepalived_keep_alives_total{outcome=ok}"]

    def wait_for_keep_alives(self, count: int, within: float) -> None:
        """Return once `count` keep-alives have succeeded. Raises TimeoutError."""
        deadline = time.monotonic() + within
        while self.keep_alives() < count:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TimeoutError(f"fewer than {count} keep-alives within {within:g} s")
            time.sleep(0.25)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the increase of each sample between two scrapes."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def at_most(grew: Mapping[str, float], histogram: str, share: float) -> float:
    """Return the least bucket bound below which `share` of the observations lie."""
    bounds = {
        float(name.partition("{le=")[2].rstrip("}")): count
        for name, count in grew.items()
        if name.startswith(f"{histogram}_bucket{{le=")
    }
    wanted = share * bounds[float("inf")]
    return min(bound for bound, count in bounds.items() if count >= wanted)


def write_sessions(directory: Path, count: int) -> None:
    """Write a session file with `count` sessions."""
    lines = (f"- {{id: {session_id(number)}}}\n" for number in range(count))
    (directory / "sessions.yaml").write_text(
        "sessions:\n" + "".join(lines) if count else "sessions: []\n"
    )


def session_id(number: int) -> str:
    """Return an id in vCenter's format."""
    return f"00000000-0000-4000-8000-{number:012d}:11111111-1111-4111-8111-{number:012d}"


@contextmanager
def daemon(
    directory: Path,
    url: str,
    *,
    lifetime: int = 300,
    observe: str = "minimal",
    loop: str = "uvloop",
    ca_file: Path | None = None,
    request_timeout: str = "auto",
    ready_within: float = 120.0,
    python: Path = Path(sys.executable),
) -> Iterator[Daemon]:
    """Run a daemon on the session and state files in `directory` while the block runs."""
    http = free_port()
    trust = f"ca_file: {ca_file}, " if ca_file else ""
    config = _CONFIG.format(
        url=url,
        trust=trust,
        observe=observe,
        lifetime=lifetime,
        request_timeout=request_timeout,
        directory=directory,
        http=http,
    )
    (directory / "config.yaml").write_text(config)
    program = ("-m", "keepalived.cli") if loop == "uvloop" else ("-c", _WITHOUT_UVLOOP)
    command = [str(python), *program, "serve", "--config", str(directory / "config.yaml")]
    notified = directory / "notify.sock"
    environ = {**os.environ, "BENCH_PASSWORD": "bench", "NOTIFY_SOCKET": str(notified)}
    with (
        (directory / "log").open("ab") as log,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor,
    ):
        notified.unlink(missing_ok=True)
        supervisor.bind(str(notified))
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            _wait_until_ready(supervisor, process, ready_within)
            took = time.perf_counter() - began
            yield Daemon(process, directory, f"http://127.0.0.1:{http}", took)
        finally:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)  # the second signal skips the final renewals
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process's live threads, user and kernel, in nanosecond steps."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _wait_until_ready(
    supervisor: socket.socket, process: subprocess.Popen[bytes], within: float
) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        readable, _, _ = select.select([supervisor], [], [], 0.5)
        if readable and b"READY=1" in supervisor.recv(4096).splitlines():
            return
    raise TimeoutError(f"the daemon was not ready within {within:g} s; see its log")
