"""Run nginx as a vCenter that answers immediately, so that only the client is measured.

One worker, on http and https. A keep-alive is answered with 204. A session is ACTIVE, with an item
and a file in transfer; its `expiration_time` is one lifetime from now.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

_CONFIG = """
worker_processes 1;
daemon off;
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/json;
  client_body_temp_path {directory};
  proxy_temp_path {directory};
  fastcgi_temp_path {directory};
  uwsgi_temp_path {directory};
  scgi_temp_path {directory};
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  map $time_iso8601 $moment {{ "~^(?<stamp>[^+]+)" $stamp; }}
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl;
    ssl_certificate {directory}/server.pem;
    ssl_certificate_key {directory}/server.pem;
    location = /requests {{ stub_status; }}
    location = /api/session {{
        if ($request_method = GET) {{ return 200 '{{"user": "bench"}}'; }}
        return 200 '"token"';
    }}
    location ~ ^/api/content/library/item/update-session/[^/]+/file$ {{
      return 200 '[{{"name": "disk-0.vmdk", "source_type": "PUSH", "status": "TRANSFERRING",
        "size": 42949672960, "bytes_transferred": 1073741824}}]';
    }}
    location ~ ^/api/content/library/item/update-session/[^/]+$ {{
      if ($request_method = GET) {{
        return 200 '{{"id": "session", "library_item_id": "item", "state": "ACTIVE",
          "library_item_content_version": "1", "client_progress": 0,
          "warning_behavior": [], "expiration_time": "$moment-{lifetime}"}}';
      }}
      return 204;
    }}
    location ~ ^/api/content/library/item/[^/]+$ {{
      return 200 '{{"id": "item", "name": "image", "content_version": "1", "library_id": "lib"}}';
    }}
    location ~ ^/api/content/library/[^/]+$ {{ return 200 '{{"id": "lib", "name": "library"}}'; }}
    location /rest/ {{ return 204; }}
  }}
}}
"""


@dataclass(slots=True)
class Nginx:
    """A running nginx, its two addresses, and its CA certificate."""

    directory: Path
    http: str
    https: str
    process: subprocess.Popen[bytes]

    @property
    def ca_file(self) -> Path:
        """The certificate to trust, in PEM."""
        return self.directory / "ca.pem"

    def requests(self) -> int:
        """Return the number of requests answered so far, including this one."""
        with urllib.request.urlopen(f"{self.http}/requests", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return int(lines[2].split()[2])

    def stop(self) -> None:
        """Stop nginx; connections are refused until the next start."""
        self.process.terminate()
        self.process.wait(10)

    def start(self) -> None:
        """Start nginx, always at the same addresses; return once it answers."""
        self.process = _start(self.directory)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.requests()
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return


@contextmanager
def nginx(directory: Path, lifetime: int = 300) -> Iterator[Nginx]:
    """Run nginx with its files in `directory`; sessions live for `lifetime` seconds."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    http, https = free_port(), free_port()
    # `$moment` is UTC. With a negative offset of one lifetime, it means a time one lifetime later.
    minutes, seconds = divmod(lifetime, 60)
    offset = f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    (directory / "nginx.conf").write_text(
        _CONFIG.format(directory=directory, http=http, https=https, lifetime=offset)
    )
    running = Nginx(
        directory, f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", _start(directory)
    )
    try:
        running.wait_until_up()
        yield running
    finally:
        running.stop()


def free_port() -> int:
    """Return a loopback port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(directory: Path) -> subprocess.Popen[bytes]:
    command = ["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)]
    return subprocess.Popen(command, env={**os.environ, "TZ": "UTC"})
