"""How fast holds are taken durably over the control socket, and how long one takes among many.

Runs `clkeepalived serve` with a state file and a vCenter that does not answer; clients are
processes of their own, as upload scripts are.

    python benchmarks/durable_holds.py --clients 32 --held 50000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
vcenters:
  nowhere: {{url: "http://127.0.0.1:9", username: bench, password_env: BENCH_PASSWORD}}
control: {{socket: {folder}/control.sock}}
state: {{path: {folder}/state.db}}
http: {{listen: "127.0.0.1:0"}}
"""
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--held", type=int, default=50_000, help="sessions held already")
    parser.add_argument("--holds", type=int, default=20_000, help="holds that are timed")
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        socket, first, count, clients = options.client
        print(json.dumps(asyncio.run(take(socket, int(first), int(count), int(clients)))))
        return
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options.clients, options.held, options.holds)


def measure(folder: Path, clients: int, held: int, holds: int) -> None:
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(folder=folder))
    environ = {**os.environ, "BENCH_PASSWORD": "bench"}
    log = (folder / "log").open("wb")
    serve = [sys.executable, "-m", "keepalived.cli", "serve", "--config", config]
    daemon = subprocess.Popen(serve, env=environ, stderr=log)
    try:
        socket = folder / "control.sock"
        while not socket.exists():
            time.sleep(0.05)
        rate, latencies = run(socket, 0, holds, clients)
        report("with none held", rate, latencies)
        run(socket, holds, max(0, held - holds), clients)
        rate, latencies = run(socket, held, holds, clients)
        report(f"with {held} held", rate, latencies)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


def run(socket: Path, first: int, holds: int, clients: int) -> tuple[float, list[float]]:
    """Let the clients, spread over processes, take `holds` holds; return rate and latencies."""
    share, began = holds // PROCESSES, time.perf_counter()
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, __file__, "--client", str(socket)),
                *(str(first + number * share), str(share), str(clients // PROCESSES)),
            ],
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    latencies = [each for worker in workers for each in json.loads(worker.communicate()[0])]
    return len(latencies) / (time.perf_counter() - began), latencies


async def take(socket: str, first: int, count: int, clients: int) -> list[float]:
    """Take holds over persistent connections; return what each took, in seconds."""
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


def report(when: str, rate: float, latencies: list[float]) -> None:
    cuts = statistics.quantiles(latencies, n=100)
    print(
        f"{when:18} {rate:7.0f} holds/s   "
        f"p50 {1e3 * cuts[49]:6.1f} ms   p99 {1e3 * cuts[98]:6.1f} ms"
    )


if __name__ == "__main__":
    main()
