"""Load the settings of commands without a daemon, and choose their vCenter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepalived.cli.options import config_option, refuse_configuration

if TYPE_CHECKING:
    from keepalived.settings import Settings, VCenterSettings

own_config_option = config_option(
    "The configuration file. Default: the GOVC_* variables if GOVC_URL is set, else "
    "/etc/clkeepalived/config.yaml."
)

own_vcenter_option = click.option(
    "--vcenter", metavar="NAME", help="The vCenter to use. Required if several are configured."
)


def load(config: Path | None) -> Settings:
    """Return the settings and print their warnings to stderr; exit if they are invalid."""
    from keepalived.settings import ConfigError, load_environment, load_settings

    try:
        if config is None and os.environ.get("GOVC_URL"):
            loaded = load_environment(os.environ)
        else:
            loaded = load_settings(config, os.environ)
    except ConfigError as error:
        refuse_configuration(error.problems)
    for warning in loaded.warnings:
        warn(str(warning))
    return loaded.settings


def warn(message: str) -> None:
    """Write a warning to stderr; a full disk or a closed pipe there does not end the process."""
    from keepalived.wrapper.nonblocking_writer import writer_on

    writer = writer_on(sys.stderr)
    writer.send(f"clkeepalived: warning: {message}\n")
    writer.close()


def choose(vcenter: str | None, settings: Settings) -> tuple[str, VCenterSettings]:
    """Return the name and settings of the chosen vCenter. Raises UsageError if none is."""
    names = ", ".join(settings.vcenters)
    if vcenter is None and len(settings.vcenters) > 1:
        raise click.UsageError(f"choose a vCenter with --vcenter: {names}")
    name = vcenter or next(iter(settings.vcenters))
    if name not in settings.vcenters:
        raise click.UsageError(f"no vCenter named {name!r} is configured; configured: {names}")
    return name, settings.vcenters[name]
