"""A full-screen text display that is redrawn every second."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # alternate screen, no cursor, no wrapping at the edge
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _TO_LINE_END, _TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
_EVERY_SECONDS = 1.0
_REST = 3  # requests and drawing take at most a quarter of the time
_QUIT = frozenset(b"qQ\x03\x04")


def watch_screen(draw: Callable[[], list[str]]) -> None:
    """Show what `draw` returns, and refresh it until q or Ctrl-C.

    A ClickException from the first call of `draw` is raised. A later one is shown above the last
    picture, and `draw` is called again: a daemon that restarts comes back.
    """
    began = time.monotonic()
    lines, trouble = draw(), ""
    with _full_screen() as quit_pressed_within:
        while True:
            _paint([trouble, *lines] if trouble else lines)
            took = time.monotonic() - began
            if quit_pressed_within(max(_EVERY_SECONDS - took, _REST * took)):
                return
            began = time.monotonic()
            try:
                lines, trouble = draw(), ""
            except click.ClickException as error:
                trouble = error.message


def _paint(lines: list[str]) -> None:
    """Redraw the screen with a single write, to avoid flicker."""
    picture = f"{_TO_LINE_END}\r\n".join(lines[: shutil.get_terminal_size().lines])
    _write(_HOME + picture + _TO_LINE_END + _TO_SCREEN_END)


def _write(text: str) -> None:
    with _stops_held_back():
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def _stops_held_back() -> Iterator[None]:
    """Defer ^Z to the end of the block: its handler writes to the same non-reentrant stream."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _full_screen() -> Iterator[Callable[[float], bool]]:
    """Take over screen and keyboard; yield a wait that returns whether a quit key was pressed.

    The wait ends early when the terminal's size changes.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    resized, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(resized, False)
    handlers = {signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: None)}
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Restore the terminal, then end by the signal.
        handlers[number] = signal.signal(number, lambda number, _: sys.exit(128 + number))
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wants_to_quit(seconds: float) -> bool:
        ready, _, _ = select.select([descriptor, resized], [], [], seconds)
        if resized in ready:
            os.read(resized, select.PIPE_BUF)
        if descriptor in ready:
            pressed = os.read(descriptor, select.PIPE_BUF)
            return not pressed or not _QUIT.isdisjoint(pressed)
        return False

    def pause(_number: int, _frame: object) -> None:
        with _stops_held_back():
            leave()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
        # The process stops here and continues here after `fg`.
        signal.signal(signal.SIGTSTP, pause)
        enter()

    def enter() -> None:
        tty.setcbreak(descriptor)
        _write(_ENTER)

    def leave() -> None:
        _write(_LEAVE)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, pause)
    try:
        enter()
        yield wants_to_quit
    except KeyboardInterrupt:
        pass
    finally:
        leave()
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(resized)
        os.close(wake)
