"""`clkeepalived probe`: find out how a vCenter treats its update sessions."""

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
        raise ValueError("has to be a second at least")
    return seconds


@click.command()
@click.option(
    "--library",
    required=True,
    metavar="NAME",
    help="The library to make scratch items in. What is in it already is left alone.",
)
@click.option(
    "--datastore",
    metavar="ID",
    help="Make that library first, on this datastore (such as datastore-11), and remove it again.",
)
@duration_option(
    "--limit",
    default="8m",
    words="How long a session that is left untouched is watched at most.",
    check=_limit,
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write a report that can be attached to a bug; - means standard output.",
)
@click.option(
    "--with-names",
    is_flag=True,
    help="Have the report name the vCenter, the library, and what the server said.",
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
    """Find out how your vCenter treats update sessions, on scratch items, in some ten minutes.

    How long does an untouched session live? Does a GET, a keep-alive, a PUT in progress keep one
    alive, and does expiration_time tell? Do bytes_transferred move during a PUT? What is a second
    session on an item answered, and progress that does not rise? It ends with a table and with the
    configuration that follows.

    It makes six items named clkeepalived-probe-*, with an update session each, and removes them
    whatever happens; nothing else is touched. What could not be measured is said so. Ends with 0
    if all was tried and put away, 1 if not, 69 where the vCenter cannot be asked, 78 for a bad
    configuration, 128+n after a signal.
    """
    from keepalived.probe.report import as_json
    from keepalived.probe.run import ProbeOptions

    name, settings = choose(vcenter, load(config))
    if settings.username is None:
        raise click.UsageError(
            f"no credentials of {name} are known; set username and password_file"
        )
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
    _tell(report, sys.stderr if json_file == _STDOUT else sys.stdout)
    sys.exit(_exit_code(report, number))


async def _run(options: ProbeOptions) -> tuple[Report, int | None]:
    from keepalived.host.clock import SystemClock
    from keepalived.probe.display import display_on
    from keepalived.probe.run import Probe
    from keepalived.vcenter.http import build_transport

    clock = SystemClock()
    display = display_on(sys.stderr, clock)
    running = Probe(options, build_transport(options.settings), clock, display)
    task = asyncio.create_task(running.run(), name="probe")
    with interruptions(task.cancel) as received:
        return await task, received[0] if received else None


def _tell(report: Report, stream: TextIO) -> None:
    from keepalived.probe.display import tell

    if report.failure:
        click.echo(f"clkeepalived: {report.failure}", err=True)
    else:
        tell(report, stream)
    for each in report.left:
        what = f"{each.what} {each.name} {each.id}".rstrip()
        click.echo(f"clkeepalived: left behind, as it could not be removed: {what}", err=True)


def _exit_code(report: Report, number: int | None) -> int:
    if number is not None:
        return 128 + number
    if report.outcome is not None and report.outcome.is_vcenter_failure:
        return _EXIT_UNAVAILABLE
    return 0 if report.is_whole else 1
