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
from keepalived.cli.lending import Lend
from keepalived.cli.socket_client import Control, Unreachable

_PAUSE_SECONDS = 1.0


def stay(
    control: Control,
    path: str,
    query: Mapping[str, str],
    wish: Mapping[str, Any],
    lend: Lend = lambda: None,
) -> int:
    """Hold until the session ends or a signal arrives; return the exit code.

    If the daemon goes away, wait for it for as long as a session lives without it; when it is back,
    `lend` returns the current token. Raises Unreachable if no daemon is there or none comes back,
    and RequestRefused.
    """
    # By this name a restarted daemon recognizes the hold when it comes back.
    name = f"cli-{os.urandom(8).hex()}"
    body = {"owner": {"connection": name}, **wish}
    again = {each: value for each, value in body.items() if each != "token"}
    lifetime, come_back_by = 0.0, -1.0
    try:
        with _asked_to_end():
            while True:
                try:
                    for line in control.lines("PUT", path, body, query=query):
                        if "event" not in line:
                            _say_holding(line, again=come_back_by > 0)
                            lifetime, come_back_by = line["lifetime"], -1.0
                            continue
                        if line["event"] != "hold_taken":  # already printed
                            click.echo(f"{text.clock_time(line['at'])} {text.event(line)}")
                        if (code := _verdict(line, f"connection:{name}")) is not None:
                            return code
                except Unreachable as error:
                    if not lifetime or 0 < come_back_by < time.monotonic():
                        raise
                    why = error.message
                else:
                    why = "the daemon stops"  # the daemon announced its end
                if come_back_by < 0:
                    come_back_by = time.monotonic() + lifetime
                    wait = text.brief(lifetime)
                    click.echo(f"{why}; trying to come back for {wait}", err=True)
                time.sleep(_PAUSE_SECONDS)
                body = {**again, **_lent_now(lend)}
    except KeyboardInterrupt:
        click.echo("let go")
        return 0


def _lent_now(lend: Lend) -> dict[str, str]:
    """Return the current token to lend, which may have changed since the first one."""
    try:
        token = lend()
    except click.ClickException:
        return {}  # the daemon still has the previous one, unless it keeps tokens only in memory
    return {} if token is None else {"token": token}


def _verdict(line: text.Said, owner: str) -> int | None:
    """Return the exit code for an event, or None if the hold goes on."""
    if line["event"] == "session_ended":
        return 0 if line["state"] in text.KEPT else 1
    if line["event"] == "hold_released" and line["owner"] == owner:
        return 0
    return None


def _say_holding(session: text.Said, *, again: bool) -> None:
    name = text.item_name(session) or session["id"]
    place = text.printable(session["vcenter"])
    click.echo(f"holding {name} of {place} {'again' if again else '(Ctrl-C lets go)'}")


@contextmanager
def _asked_to_end() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM as well: background jobs of a script ignore SIGINT, so
    that SIGTERM is the only way to end them."""
    interrupt, numbers = signal.default_int_handler, (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
