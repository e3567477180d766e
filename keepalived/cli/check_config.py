"""`clkeepalived check-config`: validate a configuration before the daemon uses it."""

from __future__ import annotations

import asyncio
import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepalived.cli.options import EXIT_BAD_CONFIGURATION, refuse_configuration
from keepalived.cli.text import counted
from keepalived.host.files import readable_path

if TYPE_CHECKING:
    from keepalived.settings import Loaded, Settings


@click.command("check-config")
@click.argument(
    "path",
    required=False,
    envvar="CLKEEPALIVED_CONFIG",
    # Unreadable files are reported like all other problems, with their names.
    type=click.Path(readable=False, path_type=Path),
)
@click.option(
    "--connect", is_flag=True, help="Also resolve, connect to and log in to each vCenter."
)
def check_config(path: Path | None, *, connect: bool) -> None:
    """Check the configuration at PATH and the session files that it names.

    Without PATH, the configuration is found as by `serve`: CLKEEPALIVED_CONFIG, then
    /etc/clkeepalived/config.yaml, then the GOVC_* variables. Exits with 0 if it is valid, else with
    78. Invalid entries in session files are warnings: they do not affect other sessions.
    """
    from keepalived.settings import ConfigError, load_settings

    try:
        loaded = load_settings(path, os.environ)
    except ConfigError as error:
        refuse_configuration([*error.problems, counted(len(error.problems), "problem")])
    files, sessions, warnings = _session_files(loaded.settings)
    for warning in (*loaded.warnings, *warnings):
        click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join(_summary(loaded, files, sessions)))
    if connect and not _connect(loaded.settings):
        sys.exit(EXIT_BAD_CONFIGURATION)


def _summary(loaded: Loaded, files: int, sessions: int) -> Iterator[str]:
    from keepalived.settings.durations import format_duration

    settings = loaded.settings
    yield f"{readable_path(loaded.path or 'The environment')}: valid"
    yield f"  {counted(len(settings.vcenters), 'vCenter')}"
    for name, vcenter in settings.vcenters.items():
        user = f"as {vcenter.username}" if vcenter.username else "without a login"
        timeout = format_duration(vcenter.session_timeout)
        yield f"    {name}: {vcenter.url} {user}, session timeout {timeout}"
    yield f"  {counted(len(settings.sessions), 'session')} in the configuration"
    if settings.session_files:
        yield f"  {counted(sessions, 'session')} in {counted(files, 'session file')}"
    yield f"  metrics and health on {settings.http.listen}"


def _session_files(settings: Settings) -> tuple[int, int, list[str]]:
    """Return the number of session files, the number of valid sessions in them, and warnings."""
    from keepalived.settings import ConfigError, Problem, read_sessions
    from keepalived.settings.checks import risky_entry

    paths, warnings, count = set[str](), list[str](), 0
    for pattern in settings.session_files:
        matching = glob.glob(pattern, recursive=True)
        if not matching:
            warnings.append(f"session_files: {readable_path(pattern)} matches no file at present")
        paths.update(filter(os.path.isfile, matching))
    for path in sorted(paths):
        try:
            parsed = read_sessions(Path(path), tuple(settings.vcenters))
        except ConfigError as error:
            warnings += map(str, error.problems)
            continue
        count += len(parsed.entries)
        warnings += map(str, parsed.problems)
        for key, entry in parsed.entries:
            for field, message in risky_entry(entry):
                location = getattr(parsed.locations[key], field)
                warnings.append(str(Problem(location, None, "", message)))
    return len(paths), count, warnings


def _connect(settings: Settings) -> bool:
    """Try each vCenter and print the result; return whether all of them are usable."""
    from keepalived.cli.connect_check import check

    is_good = True
    for name, vcenter in settings.vcenters.items():
        result = asyncio.run(check(name, vcenter))
        is_good &= result.good
        click.echo("\n".join(result.lines), err=not result.good)
    return is_good
