"""Benchmark holds taken durably over the control socket: their rate and latency.

Runs `clkeepalived serve` with a state file and a vCenter that does not answer. Clients are separate
processes, like upload scripts.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.parts import Answer, Part, markdown
from keepalived.demo.serving import serve_command

CONFIG = """
vcenters:
  nowhere: {{url: "http://127.0.0.1:9", username: bench, password_env: BENCH_PASSWORD}}
control: {{socket: {folder}/control.sock}}
state: {{path: {folder}/state.db}}
http: {{listen: "127.0.0.1:0"}}
"""
PROCESSES = 2
CLIENTS = 32
HOLDS = 20_000
"""Number of timed holds."""
HELD = 50_000


def measure(_minutes: float) -> Answer:
    """Time holds with no other holds, and with many."""
    with tempfile.TemporaryDirectory() as name, _serving(Path(name)) as socket:
        none = _answer(*run(socket, 0, HOLDS, CLIENTS))
        run(socket, HOLDS, HELD - HOLDS, CLIENTS)
        many = _answer(*run(socket, HELD, HOLDS, CLIENTS))
    return {"0": none, str(HELD): many}


@contextmanager
def _serving(folder: Path) -> Iterator[Path]:
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(folder=folder))
    environ = {**os.environ, "BENCH_PASSWORD": "bench"}
    serve = serve_command(config)
    socket = folder / "control.sock"
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(serve, env=environ, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not socket.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("the daemon did not create its socket in time")
                time.sleep(0.05)
            yield socket
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def run(socket: Path, first: int, holds: int, clients: int) -> tuple[float, list[float]]:
    """Take `holds` holds by clients in several processes; return rate and latencies."""
    share, began = holds // PROCESSES, time.perf_counter()
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.durable_holds", str(socket)),
                *(str(first + number * share), str(share), str(clients // PROCESSES)),
            ],
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    latencies = [each for worker in workers for each in json.loads(worker.communicate()[0])]
    return len(latencies) / (time.perf_counter() - began), latencies


async def take(socket: str, first: int, count: int, clients: int) -> list[float]:
    """Take holds over persistent connections; return the latency of each, in seconds."""
    numbers = iter(range(first, first + count))
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_unix_connection(socket)
        body = b'{"owner":{"ttl":"1h"}}'
        for number in numbers:
            head = (
                f"PUT /v1/sessions/-/session-{number:08d} HTTP/1.1\r\nHost: daemon\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            began = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 20"):
                raise RuntimeError(answer.decode())
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def _answer(rate: float, latencies: list[float]) -> Answer:
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "holds_per_second": round(rate),
        "p50_ms": round(1e3 * cuts[49], 1),
        "p99_ms": round(1e3 * cuts[98], 1),
    }


def table(answer: Answer) -> str:
    """Return a table with a row for each number of sessions already held."""
    rows = [
        (
            f"{int(held):,}",
            f"{of['holds_per_second']:,}",
            f"{of['p50_ms']} ms",
            f"{of['p99_ms']} ms",
        )
        for held, of in answer.items()
    ]
    return markdown(("already held", "holds a second", "p50", "p99"), rows)


ABOUT = f"""\
{CLIENTS} clients take holds over the control socket; each answer means that the hold is on disk."""

PART = Part("holds", "How fast are holds taken durably?", ABOUT, measure, table)


def main() -> None:
    """Run one of the client processes."""
    socket, first, count, clients = sys.argv[1:]
    print(json.dumps(asyncio.run(take(socket, int(first), int(count), int(clients)))))


if __name__ == "__main__":
    main()
