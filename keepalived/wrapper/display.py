"""Show the state of an upload: a progress bar on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TextIO

from keepalived.host.clock import Clock
from keepalived.wrapper.bar import bar_on
from keepalived.wrapper.console_listener import ConsoleListener
from keepalived.wrapper.nonblocking_writer import writer_on
from keepalived.wrapper.ownership import name_of
from keepalived.wrapper.progress_line import BarView, sentence
from keepalived.wrapper.rate import Rate
from keepalived.wrapper.session_tracker import SessionTracker

_DRAW_SECONDS = 0.1
_FIRST_LINE_SECONDS = 30.0
_LONGEST_BETWEEN_LINES = 300.0
_NOTHING_OPEN = "no session of the command is open at present"
_CLEAR_LINE = "\r\x1b[K"


class ExecDisplay:
    """Prints lines, and shows the progress of the command's own session.

    No method waits for the reader of the stream, except `finish`. `stream` is None if the stream
    was closed before this process started.
    """

    def __init__(self, stream: TextIO | None, clock: Clock, *, with_bar: bool) -> None:
        self._clock = clock
        self._bar = bar_on(stream, os.environ) if with_bar and stream is not None else None
        self._writer = writer_on(stream) if self._bar is None else self._bar.writer
        # The command may have left the cursor in the middle of a line, as govc's progress does.
        self._clear = "" if self._bar is None else _CLEAR_LINE
        self._rate = Rate()
        self._may_draw: Callable[[], bool] = lambda: False
        self._view: Callable[[], BarView | None] = lambda: None

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        line = f"clkeepalived: {text}"
        if self._bar is not None:
            self._bar.say(f"{self._clear}{line}")
        else:
            self._writer.send(f"{self._clear}{line}\n")

    def show(self, tracker: SessionTracker, console: ConsoleListener) -> None:
        """Show the least advanced of the command's own open sessions from now on."""

        def view() -> BarView | None:
            own = tracker.own_and_open()
            if not own:
                return None
            session = min(own, key=lambda each: each.acknowledged or 0)
            now = self._clock.boot()
            transfer = tracker.transfers.get(session.key)
            if transfer is not None:
                self._rate.add(now, transfer.done)
            is_moving = transfer is not None and transfer.done < transfer.total
            return BarView(
                label=name_of(session),
                done=transfer.done if transfer else None,
                total=transfer.total if transfer else None,
                rate=self._rate.per_second if is_moving else None,
                left=self._rate.eta(transfer.total) if transfer and is_moving else None,
                slack=session.slack(now),
                warning=console.trouble,
            )

        self._view = view

    def attach(self, may_draw: Callable[[], bool]) -> None:
        """Draw only while `may_draw()`: while the command or this process has the terminal."""
        self._may_draw = may_draw

    async def run(self) -> None:
        """Draw, or print occasional lines, until cancelled."""
        pause, printed_at = _FIRST_LINE_SECONDS, self._clock.boot()
        while True:
            self._writer.send()
            view, now = self._view(), self._clock.boot()
            if view is not None and self._bar is not None and self._may_draw():
                self._bar.draw(view)
                printed_at = now
            elif now - printed_at >= pause:
                why = " (no bar: not in the foreground of the terminal)" if self._bar else ""
                text = _NOTHING_OPEN if view is None else sentence(view)
                self.say(f"{text}{why}")
                pause, printed_at = min(2 * pause, _LONGEST_BETWEEN_LINES), now
            await asyncio.sleep(_DRAW_SECONDS)

    def pause(self) -> None:
        """Restore the terminal as if there were no bar, until the next drawing."""
        if self._bar is not None:
            self._bar.withdraw()

    def close(self) -> None:
        """Stop drawing."""
        self.pause()
        self._bar = None

    def finish(self) -> None:
        """Wait until all output was taken. To be called last."""
        self.close()
        self._writer.close()
