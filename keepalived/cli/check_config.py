"""`clkeepalived check-config`: say whether a configuration is good, before the daemon must."""

from __future__ import annotations

import asyncio
import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepalived.cli.bad_configuration import EXIT_BAD_CONFIGURATION, refuse
from keepalived.host.files import readable_path

if TYPE_CHECKING:
    from keepalived.settings import Loaded, Settings, VCenterSettings


SessionFiles = dict[str, tuple[int, tuple[str, ...]]]
"""By path: the number of good sessions, and what there is to say of these and the others."""


@click.command("check-config")
@click.argument(
    "path",
    required=False,
    envvar="CLKEEPALIVED_CONFIG",
    # What cannot be read is said by name, like everything else that is wrong.
    type=click.Path(readable=False, path_type=Path),
)
@click.option("--connect", is_flag=True, help="Also resolve, connect and log in to each vCenter.")
def check_config(path: Path | None, *, connect: bool) -> None:
    """Check the configuration at PATH, and the session files that it names.

    Without PATH it is found as `serve` finds it: CLKEEPALIVED_CONFIG, then
    /etc/clkeepalived/config.yaml, then GOVC_URL and its like. Ends with 0 if it is good, and with
    78 if it is not. Bad lines in session files are warned of: they stop nobody else's session.
    """
    from keepalived.settings import ConfigError, load_settings

    try:
        loaded = load_settings(path, os.environ)
    except ConfigError as error:
        refuse((*error.problems, _count(len(error.problems), "problem")))
    found = _session_files(loaded.settings)
    for warning in (*loaded.warnings, *_session_file_warnings(loaded.settings, found)):
        click.echo(f"warning: {warning}", err=True)
    for line in _summary(loaded, found):
        click.echo(line)
    if connect and not _connect(loaded.settings):
        sys.exit(EXIT_BAD_CONFIGURATION)


def _summary(loaded: Loaded, found: SessionFiles) -> Iterator[str]:
    settings = loaded.settings
    yield f"{readable_path(loaded.path or 'The environment')}: good"
    yield f"  {_count(len(settings.vcenters), 'vCenter')}"
    for name, vcenter in settings.vcenters.items():
        yield f"    {name}: {_words(vcenter)}"
    yield f"  {_count(len(settings.sessions), 'session')} in the configuration"
    if settings.session_files:
        count = sum(sessions for sessions, _ in found.values())
        yield f"  {_count(count, 'session')} in {_count(len(found), 'session file')}"
    yield f"  metrics and health on {settings.http.listen}"


def _words(vcenter: VCenterSettings) -> str:
    from keepalived.settings.durations import format_duration

    user = f"as {vcenter.username}" if vcenter.username else "without logging in"
    timeout = format_duration(vcenter.session_timeout)
    return f"{vcenter.url} {user}, sessions live {timeout}"


def _session_files(settings: Settings) -> SessionFiles:
    """Return the number of good sessions in each session file, and what is wrong with it."""
    from keepalived.settings import ConfigError, read_sessions
    from keepalived.settings.advice import risky_entry

    found = {}
    paths = {path for each in settings.session_files for path in glob.glob(each, recursive=True)}
    for path in sorted(filter(os.path.isfile, paths)):
        try:
            said = read_sessions(Path(path), tuple(settings.vcenters))
        except ConfigError as error:
            found[path] = (0, tuple(map(str, error.problems)))
        else:
            remarks = [
                said.spots[key, field].problem(words)
                for key, entry in said.entries
                for field, words in risky_entry(entry)
            ]
            found[path] = (len(said.entries), tuple(map(str, (*said.problems, *remarks))))
    return found


def _session_file_warnings(settings: Settings, found: SessionFiles) -> Iterator[str]:
    for pattern in settings.session_files:
        if not glob.glob(pattern, recursive=True):
            yield f"session_files: {readable_path(pattern)} matches no file at present"
    for _, problems in found.values():
        yield from problems


def _connect(settings: Settings) -> bool:
    """Try each vCenter and say how it went; return whether all of them can be used."""
    from keepalived.cli.connect_check import check

    good = True
    for name, vcenter in settings.vcenters.items():
        result = asyncio.run(check(name, vcenter))
        good = good and result.good
        for line in result.lines:
            click.echo(line, err=not result.good)
    return good


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
