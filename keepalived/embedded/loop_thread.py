"""A thread with its own event loop, for the duration of one block.

Each hold has its own: no hold can break another through shared state, nothing outlives the block,
and a slow callback delays no other hold. It costs a thread and three descriptors.
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
"""The coroutine that runs in the thread; it calls its argument once the block is entered."""


class LoopThread:
    """Runs a job in a thread. `give_up` is called in its loop when the interpreter exits.

    The futures `entered` and `over` complete at these stages, or hold the job's exception. After a
    fork, the child has the object but not the thread: there, `is_here` is False and calls have no
    effect.
    """

    def __init__(self, name: str, job: Job, give_up: Callable[[], None]) -> None:
        self.entered: Future[None] = Future()
        self.over: Future[None] = Future()
        for future in (self.entered, self.over):
            # Otherwise a waiter that gives up, such as a cancelled task, would cancel it.
            future.set_running_or_notify_cancel()
        self.give_up = give_up
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        # A daemon thread: a script that never leaves its block must not hang at exit.
        self._thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)

    @property
    def is_here(self) -> bool:
        """Whether the thread belongs to this process."""
        return self._pid == os.getpid()

    @property
    def is_running(self) -> bool:
        """Whether the job is running, in this process."""
        return self.is_here and not self.over.done()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system cannot create one."""
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise
        _running.add(self)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function soon in the thread's loop; without effect once the loop is closed."""
        if self.is_running:
            with suppress(RuntimeError):  # if the loop closes at this moment
                self._loop.call_soon_threadsafe(function, *args)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end, unless called from the thread itself."""
        if self.is_here and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
            if not self._thread.is_alive():
                _running.discard(self)

    def _run(self, job: Job) -> None:
        entered, over = self.entered, self.over
        error: BaseException | None = None
        try:
            # Not in debug mode, whatever -X dev says: users do not develop the code in this loop.
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
    """Release, log out and close what is still open when the interpreter exits; never for long."""
    here = [each for each in _running if each.is_here]
    for background in here:
        background.call(background.give_up)
    until = time.monotonic() + _AT_EXIT_SECONDS
    for background in here:
        background.join(max(0.0, until - time.monotonic()))


atexit.register(_end_all)
