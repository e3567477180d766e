"""A progress bar in the last row of the terminal, apart from all other output.

The rows above it are the terminal's scroll region, so that the command's output scrolls above the
bar as if the window were one row lower. To draw, the bar saves the cursor, writes the last row and
restores the cursor, in one write. When the window's size has changed, when the bar is withdrawn and
at the end, the scroll region is the whole screen again.
"""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable, Mapping
from typing import TextIO, TypeGuard

from keepalived.wrapper.nonblocking_writer import NonblockingWriter, writer_on
from keepalived.wrapper.progress_line import ASCII, UNICODE, BarView, line

_LEAST_ROWS = 3
_LEAST_SECONDS = 0.2

_SAVE, _RESTORE = "\x1b7", "\x1b8"  # the cursor, and the character attributes
_WHOLE_SCREEN = "\x1b[r"  # as the scroll region; moves the cursor to the upper left
_DOWN, _UP = "\x1bD", "\x1b[A"  # a row down, scrolling in the last one, and a row up
_PLAIN, _YELLOW = "\x1b[m", "\x1b[33m"
_TO_LINE_END = "\x1b[K"
_CLEAR_BELOW = f"\r{_PLAIN}\x1b[J"  # from the start of the cursor's row


def bar_on(
    stream: TextIO, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic
) -> Bar | None:
    """Return a bar on the terminal that a stream writes to, or None if none is possible."""
    if not stream.isatty() or environ.get("TERM", "") in ("", "dumb", "unknown"):
        return None
    writer = writer_on(stream)
    if os.get_blocking(writer.descriptor):
        writer.close()
        return None  # another user's terminal, after `su`: drawing on it would block
    bar = Bar(
        writer,
        clock,
        is_unicode=codecs.lookup(stream.encoding).name == "utf-8",
        has_colours=not environ.get("NO_COLOR"),
    )
    if _has_room(bar.window()):
        return bar
    bar.close()
    return None


def _has_room(size: os.terminal_size | None) -> TypeGuard[os.terminal_size]:
    return size is not None and size.lines >= _LEAST_ROWS


class Bar:
    """The last row of a terminal. `writer` writes to the terminal, and is closed with the bar.

    Output to a terminal that was hung up is lost.
    """

    def __init__(
        self,
        writer: NonblockingWriter,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_unicode: bool = True,
        has_colours: bool = True,
    ) -> None:
        self.writer = writer
        self._clock = clock
        self._glyphs = UNICODE if is_unicode else ASCII
        self._has_colours = has_colours
        self._size: os.terminal_size | None = None  # the size that the scroll region was set for
        self._drawn = ""
        self._drawn_at = -_LEAST_SECONDS

    def draw(self, view: BarView) -> None:
        """Show a view, unless the last drawing was a moment ago, or nothing changed.

        Call it several times a second: each call also checks for a new window size, of which the
        kernel notifies only processes in the foreground, and sends again what the terminal did not
        take before.
        """
        self.writer.send()
        now, size = self._clock(), self.window()
        has_moved = size != self._size and (self._size is not None or _has_room(size))
        if not self.writer.is_clear or (not has_moved and now - self._drawn_at < _LEAST_SECONDS):
            return
        if has_moved:
            # What is below the cursor is the rest of the bar after the resize.
            self.writer.send(self._freed() + (self._reserved(size) if _has_room(size) else ""))
        if self._size is None:
            return
        # The last column stays empty: some terminals wrap as soon as it is written.
        text = line(view, self._size.columns - 1, self._glyphs)
        if self._has_colours and view.warning is not None:
            text = _YELLOW + text
        if has_moved or text != self._drawn:
            self._drawn, self._drawn_at = text, now
            last = f"\x1b[{self._size.lines};1H"
            self.writer.send(_SAVE + last + _PLAIN + text + _PLAIN + _TO_LINE_END + _RESTORE)

    def say(self, text: str) -> None:
        """Write a line above the bar, after the latest output there."""
        # The command may have set the terminal not to begin a new line after a line feed.
        self.writer.send(f"{text}\r\n")

    def withdraw(self) -> None:
        """Restore the terminal as if there had been no bar, until the next `draw`."""
        self.writer.send(self._freed())
        self._drawn_at = -_LEAST_SECONDS

    def close(self) -> None:
        """Withdraw the bar for good; wait until the terminal has taken all output."""
        self.withdraw()
        self.writer.close()

    def window(self) -> os.terminal_size | None:
        """Return the size of the terminal, None if it was hung up."""
        try:
            return os.get_terminal_size(self.writer.descriptor)
        except OSError:
            return None

    def _reserved(self, size: os.terminal_size) -> str:
        """Exclude the last row from the scroll region; scroll up if the cursor is there."""
        self._size = size
        region = f"\x1b[1;{size.lines - 1}r"
        return f"{_DOWN}{_SAVE}{_CLEAR_BELOW}{region}{_RESTORE}{_UP}"

    def _freed(self) -> str:
        """Make the whole screen the scroll region, and blank the bar if it is still visible."""
        if self._size is None:
            return ""
        last = f"\x1b[{self._size.lines};1H{_PLAIN}{_TO_LINE_END}"
        is_there = self._size == self.window()
        self._size, self._drawn = None, ""
        if is_there:
            return f"{_SAVE}{_WHOLE_SCREEN}{last}{_RESTORE}"
        # The command may have written to that row since, unless it is below the cursor.
        below = f"{_DOWN}{_SAVE}{_CLEAR_BELOW}{_RESTORE}{_UP}"
        return f"{_SAVE}{_WHOLE_SCREEN}{_RESTORE}{below}"
