"""How much it costs to hold many sessions: CPU time, memory, late renewals, schedule lag.

Runs `clkeepalived serve` on a file of sessions against nginx, which answers every keep-alive with
204 at once, so that the daemon is what is measured. Needs nginx on the path.

    python benchmarks/steady_load.py --sessions 10000 --minutes 10
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

NGINX = """
worker_processes 1;
daemon off;
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory};
  proxy_temp_path {directory};
  fastcgi_temp_path {directory};
  uwsgi_temp_path {directory};
  scgi_temp_path {directory};
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  server {{
    listen 127.0.0.1:{port};
    location = /api/session {{ return 200 '"token"'; }}
    location / {{
      if ($request_method = GET) {{
        return 200 '{{"id":"x","state":"ACTIVE","library_item_id":"i"}}';
      }}
      return 204;
    }}
  }}
}}
"""
CONFIG = """
vcenters:
  target: {{url: "http://127.0.0.1:{port}", username: bench, password_env: BENCH_PASSWORD,
           dialect: api, observe: minimal, session_timeout: {lifetime}}}
session_files: [{directory}/sessions.yaml]
http: {{listen: "127.0.0.1:{http}"}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--lifetime", type=int, default=300, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options.sessions, options.minutes * 60, options.lifetime)


def measure(directory: Path, sessions: int, seconds: float, lifetime: int) -> None:
    port, http = free_port(), free_port()
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port))
    (directory / "config.yaml").write_text(
        CONFIG.format(directory=directory, port=port, http=http, lifetime=lifetime)
    )
    (directory / "sessions.yaml").write_text(
        "sessions:\n" + "".join(f"- {{id: session-{number:06d}}}\n" for number in range(sessions))
    )
    nginx = subprocess.Popen(["nginx", "-c", directory / "nginx.conf", "-p", directory])
    serve = [sys.executable, "-m", "keepalived.cli", "serve", "--config", directory / "config.yaml"]
    log = (directory / "log").open("wb")
    started = time.monotonic()
    daemon = subprocess.Popen(
        serve, env={**os.environ, "BENCH_PASSWORD": "bench"}, stderr=log, stdout=log
    )
    try:
        metrics_at = f"http://127.0.0.1:{http}/metrics"
        wait_for(metrics_at)
        while renewed(scrape(metrics_at)) < sessions:
            time.sleep(0.2)
        print(f"{sessions} sessions held and renewed once after {time.monotonic() - started:.1f} s")
        before = cpu_seconds(daemon.pid)
        first = scrape(metrics_at)
        progress_until(time.monotonic() + seconds, seconds)
        last = scrape(metrics_at)
        cpu = cpu_seconds(daemon.pid) - before
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)
        nginx.terminate()
        nginx.wait(10)
    report(first, last, cpu, seconds, peak_kib())


def report(
    first: dict[str, float], last: dict[str, float], cpu: float, seconds: float, kib: int
) -> None:
    renewals = renewed(last) - renewed(first)
    lag = "clkeepalived_schedule_lag_seconds_bucket"
    grew = {name: value - first.get(name, 0.0) for name, value in last.items()}
    taken = grew["clkeepalived_schedule_lag_seconds_count"]
    late = taken - grew[f'{lag}{{le="1.0"}}']
    print(f"renewals           {renewals:.0f} ({renewals / seconds:.1f} per second)")
    print(f"CPU                {cpu:.1f} s, {100 * cpu / seconds:.1f} % of a core")
    print(f"CPU per renewal    {1e6 * cpu / max(1.0, renewals):.0f} us")
    print(f"peak memory        {kib / 1024:.1f} MiB")
    print(f"late by over 1 s   {late:.0f} of {taken:.0f}")
    total = grew["clkeepalived_schedule_lag_seconds_sum"]
    print(f"mean schedule lag  {1e3 * total / max(1.0, taken):.1f} ms")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            scrape(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} does not answer")


def scrape(url: str) -> dict[str, float]:
    """Return each sample by its name and, for buckets, its upper bound; labels are summed up."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own daemon
        text = answer.read().decode()
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name
            if "le" in sample.labels:
                name += f'{{le="{sample.labels["le"]}"}}'
            if "outcome" in sample.labels:
                name += f'{{outcome="{sample.labels["outcome"]}"}}'
            values[name] = values.get(name, 0.0) + sample.value
    return values


def renewed(values: dict[str, float]) -> float:
    return values.get('clkeepalived_keep_alives_total{outcome="ok"}', 0.0)


def progress_until(deadline: float, seconds: float) -> None:
    while (left := deadline - time.monotonic()) > 0:
        if sys.stderr.isatty():
            print(f"\r{100 * (1 - left / seconds):3.0f} %", end="", file=sys.stderr)
        time.sleep(min(left, 5.0))
    if sys.stderr.isatty():
        print("\r     \r", end="", file=sys.stderr)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib() -> int:
    """The largest resident set of any ended child: of daemon and nginx, that is the daemon."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


if __name__ == "__main__":
    main()
