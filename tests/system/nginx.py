"""A real nginx, with the configuration that the documentation shows, on a port of its own."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme

PAGE = Path(__file__).parents[2] / "docs/monitoring.md"
NAME = "uploads.lab.example"
USER, PASSWORD = "oncall", "correct horse"


def documented() -> str:
    """Return the `server` block that the documentation shows."""
    found = re.search(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@asynccontextmanager
async def nginx(folder: Path, daemon: str, *, ca: trustme.CA) -> AsyncIterator[int]:
    """Run nginx in front of a daemon at HOST:PORT until the block is left; yield its port."""
    port, command = await asyncio.to_thread(_prepare, folder, daemon, ca)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(15):
            while not await _listens(port):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _prepare(folder: Path, daemon: str, ca: trustme.CA) -> tuple[int, tuple[str, ...]]:
    """Write what nginx needs, have nginx check it, and return its port and how it is started."""
    certificate = ca.issue_cert(NAME)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(folder / "certificate.pem", append=True)
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"],
        input=PASSWORD,
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "htpasswd").write_text(f"{USER}:{hashed.stdout}", encoding="ascii")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server = documented()
    for shown, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/nginx/clkeepalived.pem", f"{folder}/certificate.pem"),
        ("/etc/nginx/clkeepalived.key", f"{folder}/key.pem"),
        ("/etc/nginx/clkeepalived.htpasswd", f"{folder}/htpasswd"),
        ("127.0.0.1:9878", daemon),
    ):
        assert server.count(shown) == 1, shown
        server = server.replace(shown, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder}/nginx.pid; error_log stderr; daemon off; user root;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{server}}}\n",
        encoding="utf-8",
    )
    command = ("nginx", "-p", str(folder), "-c", str(config))
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    return port, command


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True
