"""A thread with an event loop of its own, for the time of one block.

Each hold has its own: nothing is shared that one could break for another, nothing outlives the
block, and a callback that takes long holds up nobody else. It costs a thread and three descriptors.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from keepalived.embedded.errors import HoldError

_AT_EXIT_SECONDS = 5.0

Job = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
"""What runs in the thread; it calls what it is given once it has been entered."""


class LoopThread:
    """Runs a job in a thread. `give_up` is called in its loop when the interpreter exits.

    `entered` and `over` tell how far it is, and what it raised. After a fork, the child has the
    object and not the thread: there, `is_here` is False and nothing has an effect.
    """

    def __init__(self, name: str, job: Job, give_up: Callable[[], None]) -> None:
        self.entered: Future[None] = Future()
        self.over: Future[None] = Future()
        for future in (self.entered, self.over):
            # Or else whoever stops waiting, as a cancelled task does, would cancel it.
            future.set_running_or_notify_cancel()
        self.give_up = give_up
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        # A daemon thread: a script that never leaves its block must not hang at its end.
        self._thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)

    @property
    def is_here(self) -> bool:
        """Whether the thread is one of this process."""
        return self._pid == os.getpid()

    @property
    def is_running(self) -> bool:
        """Whether the job is under way, in this process."""
        return self.is_here and not self.over.done()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError where the system has none to give."""
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise
        _running.add(self)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function in the thread's loop, soon; without effect once that is over."""
        if self.is_running:
            with suppress(RuntimeError):  # where it is closed at this very moment
                self._loop.call_soon_threadsafe(function, *args)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end, unless it is the one that asks."""
        if self.is_here and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
            if not self._thread.is_alive():
                _running.discard(self)

    def _run(self, job: Job) -> None:
        entered, over = self.entered, self.over
        error: BaseException | None = None
        try:
            # Not in debug mode, whatever -X dev says: this is not the loop that is being developed.
            with asyncio.Runner(loop_factory=lambda: self._loop, debug=False) as runner:
                runner.run(job(lambda: entered.set_result(None)))
        except BaseException as caught:
            error = caught
        if not entered.done():
            entered.set_exception(error or HoldError("the block was left before it was entered"))
            over.set_result(None)
        elif error is None:
            over.set_result(None)
        else:
            over.set_exception(error)


_running: set[LoopThread] = set()


def _end_all() -> None:
    """Let go, log out and close what is still open when the interpreter exits; never for long."""
    here = [each for each in _running if each.is_here]
    for background in here:
        background.call(background.give_up)
    until = time.monotonic() + _AT_EXIT_SECONDS
    for background in here:
        background.join(max(0.0, until - time.monotonic()))


atexit.register(_end_all)
