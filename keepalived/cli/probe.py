"""`clkeepalived probe`: measure how a vCenter treats update sessions."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

import click

from keepalived.cli.interruption import interruptions
from keepalived.cli.one_vcenter import choose, load, own_config_option, own_vcenter_option
from keepalived.cli.options import duration, duration_option
from keepalived.version import VERSION

if TYPE_CHECKING:
    from keepalived.probe.report import Report
    from keepalived.probe.run import ProbeOptions

_EXIT_UNAVAILABLE = 69
_STDOUT = "-"


def _limit(text: str) -> float:
    seconds = duration(text)
    if seconds < 1:
        raise ValueError("must be at least one second")
    return seconds


@click.command()
@click.option(
    "--library",
    required=True,
    metavar="NAME",
    help="The library for the scratch items. Its other items are not touched.",
)
@click.option(
    "--datastore",
    metavar="ID",
    help="Create the library on this datastore (such as datastore-11), and remove it at the end.",
)
@duration_option(
    "--limit",
    default="8m",
    help="How long to watch the untouched session at most.",
    check=_limit,
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write a JSON report, for example for a bug report; - is standard output.",
)
@click.option(
    "--with-names",
    is_flag=True,
    help="Include the vCenter's and the library's names and the server's messages in the report.",
)
@own_config_option
@own_vcenter_option
def probe(
    library: str,
    datastore: str | None,
    limit: float,
    json_file: str | None,
    with_names: bool,
    config: Path | None,
    vcenter: str | None,
) -> None:
    """Measure how a vCenter treats update sessions, with scratch items, in about ten minutes.

    Finds out how long an untouched session lives; whether a GET, a keep-alive or a PUT in progress
    keeps a session alive and moves its expiration_time; whether bytes_transferred moves during a
    PUT; and how vCenter answers a second session on an item, and progress that does not rise.
    Prints a table of the results and a suggested configuration.

    Creates six items named clkeepalived-probe-*, with an update session each, and always removes
    them; nothing else is touched. Results that could not be measured are marked. Exits with 0 if
    everything was tried and removed, 1 if not, 69 if the vCenter cannot be used, 78 if the
    configuration is invalid, and 128+n after signal n.
    """
    from keepalived.probe.report import as_json
    from keepalived.probe.run import ProbeOptions

    name, settings = choose(vcenter, load(config))
    if settings.username is None:
        raise click.UsageError(f"no credentials for {name}: set username and password_file")
    options = ProbeOptions(name, settings, library, datastore, limit, VERSION)
    output: AbstractContextManager[IO[str] | None] = nullcontext()
    try:
        if json_file is not None:
            output = click.open_file(json_file, "w", encoding="utf-8")  # fail before the run starts
    except OSError as error:
        raise click.ClickException(f"{json_file}: {error.strerror}") from None
    with output as file:
        report, number = asyncio.run(_run(options))
        if file is not None:
            json.dump(as_json(report, with_names=with_names), file, indent=2)
            file.write("\n")
            file.flush()
    # If the report goes to standard output, nothing else is written there.
    _print_result(report, sys.stderr if json_file == _STDOUT else sys.stdout)
    sys.exit(_exit_code(report, number))


async def _run(options: ProbeOptions) -> tuple[Report, int | None]:
    from keepalived.host.clock import SystemClock
    from keepalived.probe.display import display_on
    from keepalived.probe.run import Probe
    from keepalived.vcenter.connect import build_transport

    clock = SystemClock()
    display = display_on(sys.stderr, clock)
    running = Probe(options, build_transport(options.settings), clock, display)
    task = asyncio.create_task(running.run(), name="probe")
    with interruptions(task.cancel) as received:
        return await task, received[0] if received else None


def _print_result(report: Report, stream: TextIO) -> None:
    from keepalived.probe.display import print_report

    if report.failure:
        click.echo(f"clkeepalived: {report.failure}", err=True)
    else:
        print_report(report, stream)
    for each in report.left:
        what = f"{each.what} {each.name} {each.id}".rstrip()
        click.echo(f"clkeepalived: could not be removed: {what}", err=True)


def _exit_code(report: Report, number: int | None) -> int:
    if number is not None:
        return 128 + number
    if report.outcome is not None and report.outcome.is_vcenter_failure:
        return _EXIT_UNAVAILABLE
    return 0 if report.is_whole else 1
