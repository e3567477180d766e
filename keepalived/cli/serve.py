"""`clkeepalived serve`: run the daemon in the foreground.

Sets up what concerns the whole process: the event loop, signals, logging, the garbage collector,
memory allocation, and an exit that no hanging thread can prevent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepalived.cli.options import config_option, refuse_configuration

if TYPE_CHECKING:
    from keepalived.settings import Loaded

_EXIT_NOT_CLOSED = 1

_CLOSING_SECONDS = 8.0
"""Time limit for writing the state and joining threads at the end. With the drain's 10 s it stays
below the unit's TimeoutStopSec=."""

_FORCED_STOP_SECONDS = 5.0
"""The time limit after a second request to stop."""

_FLUSH_SECONDS = 1.0

_SWITCH_SECONDS = 0.0005
"""The interpreter's switch interval. The event loop releases the GIL at each system call, and waits
this long for it while another thread parses a file. With Python's default of 5 ms, an iteration of
the loop could take 0.2 s.
"""


@click.command()
@config_option(
    "The configuration file. Default: /etc/clkeepalived/config.yaml if it exists, else the GOVC_* "
    "variables."
)
def serve(config: Path | None) -> None:
    """Run the daemon in the foreground until SIGTERM or SIGINT.

    SIGHUP reloads the configuration. The first SIGTERM renews the sessions that need it and logs
    out before the daemon exits; a second one makes it exit at once.
    """
    # structlog would otherwise import rich for coloured tracebacks, which costs the daemon 3 MiB.
    # None marks a module as not importable.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # typeshed knows of no None here
    from keepalived.host import blocking
    from keepalived.host.descriptors import raise_limit
    from keepalived.host.gc_tuning import long_lived_set_aside
    from keepalived.host.memory import give_back_large_blocks
    from keepalived.observe.logs import configure_logging, log_python_s_own
    from keepalived.settings import DEFAULT_PATH, ConfigError, Problem, load_settings

    async def load() -> Loaded:
        again = partial(load_settings, config, os.environ, pipes=False)
        try:
            return await blocking.call("configuration", again)
        except TimeoutError:
            message = f"reading it, or a file that it names, takes over {blocking.SECONDS:g} s"
            raise ConfigError([Problem(str(config or DEFAULT_PATH), None, "", message)]) from None

    try:
        loaded = load_settings(config, os.environ)
    except ConfigError as error:
        refuse_configuration(error.problems)
    configure_logging(format=loaded.settings.log.format, level=loaded.settings.log.level)
    log_python_s_own()
    raise_limit()
    give_back_large_blocks()
    sys.setswitchinterval(_SWITCH_SECONDS)
    with long_lived_set_aside(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        failure = runner.run(_serve(loaded, load))
    # After the loop, so that a signal can end the process if a write to stderr blocks.
    if failure is not None:
        logging.shutdown()
        click.echo(failure, err=True)
        sys.exit(1)


async def _serve(loaded: Loaded, load: Callable[[], Awaitable[Loaded]]) -> str | None:
    """Run the daemon until a signal stops it; return the error that prevented it, if any."""
    from keepalived.daemon import Daemon
    from keepalived.host.notify import notifier
    from keepalived.host.sockets import SocketError
    from keepalived.observe.binding import ListenError
    from keepalived.store.errors import StoreError

    forced_exit = _ForcedExit()
    drained = partial(forced_exit.after, _CLOSING_SECONDS)
    daemon = Daemon(loaded, load, notifier=notifier(os.environ), on_drained=drained)

    def stop() -> None:
        if daemon.is_stopping:
            forced_exit.after(_FORCED_STOP_SECONDS)
        daemon.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    try:
        await daemon.run()
    except (ListenError, SocketError, StoreError) as error:
        return str(error)
    forced_exit.code = 0
    return None


class _ForcedExit:
    """Ends the process if a thread that it would join hangs. `code` is the exit code: an error
    while work is left undone, 0 once everything was closed."""

    def __init__(self) -> None:
        self.code = _EXIT_NOT_CLOSED

    def after(self, seconds: float) -> None:
        """End the process after `seconds` if it is still running."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        # Flushing can hang as well.
        flushing = threading.Thread(target=_log_forced_end, daemon=True)
        flushing.start()
        flushing.join(_FLUSH_SECONDS)
        os._exit(self.code)


def _log_forced_end() -> None:
    import structlog

    message = "exiting without waiting for a thread that hangs, such as on a disk or a mount"
    structlog.get_logger("clkeepalived").error("end_forced", message=message)
    logging.shutdown()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop where the `speed` extra is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
