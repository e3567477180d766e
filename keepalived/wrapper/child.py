"""Run a command in its own process group; handle its terminal, stops, signals and end.

Because of that group, ^Z is handled here: a shell stops its job, which is our group, and does not
see the command's. So a stop that the shell's job would get stops us too, after one more renewal of
the sessions, and a signal that continues us continues the command:

1. The command is started, and gets the terminal if we had it.
2. It stops: by ^Z, by reading the terminal in the background, by a SIGSTOP. We take the terminal
   back, await `on_stopped`, and stop our own group as well if it is a shell's job.
   Elsewhere, as in a script without job control, our group contains the script and other commands;
   then we keep running, and the sessions stay alive until the command is continued.
3. SIGCONT (`fg`, `bg`): the command gets the terminal again, if we have it, and continues;
   `on_continued` is called with the duration of the stop.
4. It ends: we take the terminal back; processes that the command left behind continue to run.

If our standard output is not the terminal, a pager may be at the other end of the pipe and share
our group: the command gets the terminal only when it tries to use it, and until then ^C and ^Z
come to us and are passed on.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from keepalived.host.clock import Clock
from keepalived.wrapper.command import spawn
from keepalived.wrapper.signals import handled, is_ignored, stop_own_group
from keepalived.wrapper.terminal import Terminal, controlling_terminal

_FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_STOPPING = (signal.SIGTSTP, signal.SIGTTIN)
_REACHING = (signal.SIGTTIN, signal.SIGTTOU)
"""The signals that stop a group that uses the terminal without having it."""

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

_STOPS_WITHIN = 1.0
"""Seconds to wait for a stop, which takes microseconds or does not happen."""


@dataclass(eq=False, slots=True)
class Child:
    """A command started by `running`.

    While the event loop runs, it is reaped, signals are forwarded, and SIGCONT is handled; stops
    are handled inside `wait`.
    """

    pid: int
    terminal: Terminal
    clock: Clock
    on_stopped: Callable[[], Awaitable[None]]
    on_continued: Callable[[float], Awaitable[None]]
    has_terminal_by_right: bool
    exit_code: int | None = field(default=None, init=False)
    """The command's exit code, in the convention of shells: 128+n when signal n killed it."""
    _stopped_by: int | None = field(default=None, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def wait(self) -> int:
        """Return the command's exit code once it has ended; handle its stops until then.

        Exactly one task has to await it, without interruption: stops are noticed here. Exceptions
        of callbacks are raised here, and the caller may await it again.
        """
        while self.exit_code is None:
            self._changed.clear()
            if self._stopped_by is None:
                await self._changed.wait()
            else:
                await self._suspend(self._stopped_by)
        return self.exit_code

    def forward(self, number: int) -> bool:
        """Send a signal to the command's group, and return whether it was delivered.

        It is not if the command has ended, or if all of its group belongs to another user (`sudo`).
        """
        if self.exit_code is not None:
            return False
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def is_in_foreground(self) -> bool:
        """Whether the command or this process has the terminal, so that we may draw on it.

        False in the background, without a terminal, while the command is stopped, and, if the
        command is a shell, while one of its jobs has the terminal.
        """
        return self._stopped_by is None and self.terminal.is_ours_or(self.pid)

    async def _suspend(self, number: int) -> None:
        if number in _REACHING and self.terminal.give_to(self.pid):
            self._continue()
            return
        stops_us = self._stops_us(number)
        since = self.clock.boot()
        self.terminal.take_back(self.pid)
        await self.on_stopped()
        if stops_us and self._stopped_by is not None:
            stop_own_group(signal.SIGTTIN if number == signal.SIGTTIN else signal.SIGTSTP)
            try:
                async with asyncio.timeout(_STOPS_WITHIN):
                    await self._wait_until_continued()
            except TimeoutError:
                # No process can continue us, so we were not stopped: on its own the command would
                # not have been either. A command stopped by SIGSTOP waits for a SIGCONT.
                if number == signal.SIGTSTP:
                    self._resume()
        await self._wait_until_continued()
        if not stops_us:
            self._give_terminal()
        await self.on_continued(self.clock.boot() - since if stops_us else 0.0)

    def _stops_us(self, number: int) -> bool:
        """Whether a stop of the command should also stop our group, as the job of a shell.

        A group that we lead is a job if there is a terminal. A group that a script leads is stopped
        only by keys, which never send SIGSTOP and reach only the foreground.
        """
        if os.getpgrp() == os.getpid():
            return self.terminal.is_there()
        return number != signal.SIGSTOP and self.terminal.is_ours_or(self.pid)

    async def _wait_until_continued(self) -> None:
        while self._stopped_by is not None:
            self._changed.clear()
            await self._changed.wait()

    def _resume(self) -> None:
        if self.exit_code is None:
            self._give_terminal()
            self._continue()

    def _give_terminal(self) -> None:
        if self.has_terminal_by_right:
            self.terminal.give_to(self.pid)

    def _continue(self) -> None:
        self._stopped_by = None
        self._changed.set()
        self.forward(signal.SIGCONT)

    def _reap(self) -> None:
        flags = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
        with suppress(ChildProcessError):  # there are no more children
            while (changed := os.waitpid(-1, flags)) != (0, 0):
                pid, status = changed
                if pid == self.pid:
                    self._note(status)

    def _note(self, status: int) -> None:
        self._stopped_by = os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None
        if not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                self.terminal.restore_modes(self.pid)
            self.terminal.take_back(self.pid)
            self.exit_code = code if code >= 0 else 128 - code
        self._changed.set()


@contextmanager
def running(
    argv: Sequence[str],
    *,
    clock: Clock,
    on_stopped: Callable[[], Awaitable[None]],
    on_continued: Callable[[float], Awaitable[None]],
    blocked_signals: frozenset[int] = frozenset(),
) -> Iterator[Child]:
    """Start a command and attend to it until the block is left. Raises CommandError.

    Needs the running event loop of the main thread, and must be the only code in this process that
    starts and reaps children meanwhile: orphans of the command become our children, and cannot be
    distinguished from others.

    `on_stopped` is awaited when the command has stopped, before we stop with it, and should be
    quick: the shell's prompt waits for it. `on_continued` follows each `on_stopped`, once the
    command continues or was killed meanwhile, with the seconds for which we were stopped,
    suspended time included: 0.0 if we kept running.

    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 and SIGWINCH are forwarded to the command,
    unless they were ignored when we were started; the command ignores those too. It starts with
    `blocked_signals` blocked, and no others. Leave the block once `wait` has returned: signals
    that arrive afterwards are lost. A command that still runs when the block is left continues to
    run, without the terminal.
    """
    child: Child  # assigned before the event loop can call a handler

    def forward(number: int) -> None:
        child.forward(number)

    handlers: dict[signal.Signals, Callable[[], object]] = {
        signal.SIGCHLD: lambda: child._reap(),
        signal.SIGCONT: lambda: child._resume(),
    }
    for number in (*_FORWARDED, *_STOPPING):
        if not is_ignored(number):
            handlers[number] = partial(forward, signal.SIGTSTP if number in _STOPPING else number)
    ignored_by_us = [number for number in (signal.SIGTTOU,) if not is_ignored(number)]
    with controlling_terminal() as terminal, _adopted(), handled(handlers):
        pid = spawn(argv, also_default=ignored_by_us, blocked=blocked_signals)
        child = Child(pid, terminal, clock, on_stopped, on_continued, os.isatty(1))
        child._give_terminal()
        try:
            yield child
        finally:
            terminal.take_back(pid)


@contextmanager
def _adopted() -> Iterator[None]:
    """Within the block, a descendant that loses its parent becomes our own child, not init's.

    We then have to reap it. If the kernel refuses (a seccomp filter), orphans go to init as they
    would without us: they run the same way, but are not visible below us.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
