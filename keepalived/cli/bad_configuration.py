"""The end of a command whose configuration is bad."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

import click

EXIT_BAD_CONFIGURATION = 78


def refuse(problems: Iterable[object]) -> NoReturn:
    """Say what is wrong, a line for each, on standard error, and end the process."""
    for problem in problems:
        click.echo(str(problem), err=True)
    sys.exit(EXIT_BAD_CONFIGURATION)
