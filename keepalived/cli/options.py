"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    envvar="CLKEEPALIVED_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration file. Without one, /etc/clkeepalived/config.yaml is read, "
    "or else GOVC_URL and its like describe the vCenter.",
)
