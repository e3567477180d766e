"""`clkeepalived simulate`: a simulated content library for trying uploads or this program."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import signal
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from keepalived.cli.options import Checked, duration, duration_option

_LEDGER_LIMIT = 100_000
_LAST_PORT = 65535
_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _seconds(text: str) -> float:
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("must be greater than 0")
    return seconds


_period = partial(duration_option, check=_seconds)


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isascii() or not port.isdigit():
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8989")
    if int(port) > _LAST_PORT:
        raise ValueError(f"{port} is not a port")
    return host, int(port)


@click.command()
@click.option(
    "--listen",
    type=Checked(_address),
    metavar="HOST:PORT",
    default="127.0.0.1:0",
    show_default=True,
    help="The address to listen on; port 0 picks a free port.",
)
@_period("--session-timeout", default="5m", help="How long a session lives without activity.")
@click.option(
    "--username", default="administrator@vsphere.local", show_default=True, help="The only user."
)
@click.option("--password", help="The user's password. Default: a random one.")
@_period(
    "--token-idle-timeout", default="30m", help="How long an API token is valid without a call."
)
@_period("--token-max-age", default="24h", help="How long an API token is valid at most.")
@_period("--pull-duration", default="10s", help="How long the server takes to pull a file.")
@duration_option(
    "--validation",
    "validation_duration",
    default="0",
    help="How long files are VALIDATING after `complete`, before the content arrives.",
)
@duration_option(
    "--preparation",
    "prepare_duration",
    default="0",
    help="How long a file is PREPARING before it can be downloaded.",
)
@click.option("--tls-cert", type=_EXISTING_FILE, help="Serve HTTPS with this certificate (PEM).")
@click.option(
    "--tls-key", type=_EXISTING_FILE, help="The key of the certificate, if it is in another file."
)
@click.option(
    "--put-counts-as-activity/--no-put-counts-as-activity",
    default=True,
    show_default=True,
    help="Whether the bytes of a PUT, or of a download's GET, extend a session's lifetime. What a "
    "real vCenter does is not documented.",
)
@click.option(
    "--bytes-during-put/--no-bytes-during-put",
    default=True,
    show_default=True,
    help="Whether a file's byte count rises during its PUT, or only after it.",
)
def simulate(
    listen: tuple[str, int],
    password: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    **behaviour: Any,
) -> None:
    """Run a simulated Content Library until SIGINT or SIGTERM.

    Prints one line of JSON with url, username and password when it is ready. Faults, the ledger and
    restarts are available below /simulator/ of that URL. Uploaded content can be downloaded again;
    up to 256 MiB are kept, in memory.

    Serves clients of the REST interfaces /api and /rest: VMware's SDK for Python, PowerCLI's REST
    cmdlets, curl. Not yet govc and Ansible's modules: they log in by SOAP at /sdk.
    """
    from keepalived.observe.logs import configure_logging
    from keepalived.simulator.app import Simulator

    configure_logging(format="auto", level="warning")
    tls = _tls_context(tls_cert, tls_key)
    simulator = Simulator(
        password=password or secrets.token_urlsafe(12),
        ledger_limit=_LEDGER_LIMIT,
        with_admin=True,
        **behaviour,  # same names as the options
    )

    async def run() -> None:
        from keepalived.simulator.server import serve

        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        async with serve(simulator, *listen, ssl_context=tls) as url:
            line = {"url": url, "username": simulator.username, "password": simulator.password}
            _print_without_waiting(json.dumps(line))
            await stopped.wait()

    try:
        asyncio.run(run())
    except OSError as error:
        raise click.ClickException(f"cannot listen on {listen[0]}:{listen[1]}: {error}") from error


def _print_without_waiting(line: str) -> None:
    """Print a line without blocking the simulator if the output is not read."""
    from keepalived.host.background_writer import BackgroundWriter, DescriptorSink

    try:
        sink = DescriptorSink(sys.stdout.fileno())
    except io.UnsupportedOperation:  # a stream in memory
        click.echo(line)
        return
    writer = BackgroundWriter(sink, str)
    writer.put(line)
    writer.finish()


def _tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise click.UsageError("--tls-key needs --tls-cert")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise click.ClickException(f"cannot use {cert}: {error}") from error
    return context
