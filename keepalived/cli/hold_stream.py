"""Hold a session while this command runs, and print its events."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from keepalived.cli import text
from keepalived.cli.lending import ReadToken
from keepalived.cli.socket_client import Control, Unreachable

_PAUSE_SECONDS = 1.0


def hold_while_connected(
    control: Control,
    path: str,
    query: Mapping[str, str],
    fields: Mapping[str, Any],
    read_token: ReadToken = lambda: None,
) -> int:
    """Hold until the session ends or a signal arrives; return the exit code.

    If the daemon goes away, retry for as long as a session lives without it; `read_token` returns
    the token to lend after a reconnection. Raises Unreachable if no daemon answers or none comes
    back, and RequestRefused.
    """
    # By this name a restarted daemon recognizes the hold when it comes back.
    name = f"cli-{os.urandom(8).hex()}"
    body = {"owner": {"connection": name}, **fields}
    again = {each: value for each, value in body.items() if each != "token"}
    lifetime, retry_until = 0.0, -1.0
    try:
        with _sigterm_as_interrupt():
            while True:
                try:
                    for line in control.lines("PUT", path, body, query=query):
                        if "event" not in line:
                            _print_holding(line, again=retry_until > 0)
                            lifetime, retry_until = line["lifetime"], -1.0
                            continue
                        if line["event"] != "hold_taken":  # already printed
                            click.echo(f"{text.clock_time(line['at'])} {text.event(line)}")
                        if (code := _exit_code(line, f"connection:{name}")) is not None:
                            return code
                except Unreachable as error:
                    if not lifetime or 0 < retry_until < time.monotonic():
                        raise
                    why = error.message
                else:
                    why = "the daemon is stopping"  # it ended the stream properly
                if retry_until < 0:
                    retry_until = time.monotonic() + lifetime
                    wait = text.brief(lifetime)
                    click.echo(f"{why}; trying to reconnect for {wait}", err=True)
                time.sleep(_PAUSE_SECONDS)
                body = {**again, **_current_token(read_token)}
    except KeyboardInterrupt:
        click.echo("released")
        return 0


def _current_token(read_token: ReadToken) -> dict[str, str]:
    """Return the token to lend, which may have changed since the first one, as a field."""
    try:
        token = read_token()
    except click.ClickException:
        return {}  # the daemon still has the previous one, unless it keeps tokens only in memory
    return {} if token is None else {"token": token}


def _exit_code(line: text.JsonObject, owner: str) -> int | None:
    """Return the exit code for an event, or None if the hold goes on."""
    if line["event"] == "session_ended":
        return 0 if line["state"] in text.KEPT else 1
    if line["event"] == "hold_released" and line["owner"] == owner:
        return 0
    return None


def _print_holding(session: text.JsonObject, *, again: bool) -> None:
    name = text.item_name(session) or session["id"]
    vcenter = text.printable(session["vcenter"])
    click.echo(f"holding {name} of {vcenter} {'again' if again else '(Ctrl-C releases it)'}")


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM as well: background jobs of a script ignore SIGINT, so
    that SIGTERM is the only way to end them."""
    interrupt, numbers = signal.default_int_handler, (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
