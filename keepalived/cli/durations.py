"""Options that take a duration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def duration_option(
    *names: str, default: str, help: str, refusal: Callable[[float], str] = lambda _seconds: ""
) -> Callable[[Any], Any]:
    """Return an option with a duration; `refusal` says why one, in seconds, is none to take."""

    def parse(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
        from keepalived.settings.durations import parse_duration

        try:
            seconds = parse_duration(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        if words := refusal(seconds):
            raise click.BadParameter(words)
        return seconds

    return click.option(
        *names, metavar="DURATION", default=default, show_default=True, callback=parse, help=help
    )
