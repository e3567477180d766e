"""Runs calls that may hang forever, such as reading from a network mount whose server is gone.

They run in daemon threads, which delay neither other calls nor the end of the process. While a
call hangs, it is not started again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 30.0
"""How long reading a file may take before it counts as hanging."""


class DaemonThreads(Executor):
    """Runs each call in a new daemon thread."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start a call. Raises RuntimeError if the system cannot create a thread."""
        future: Future[T] = Future()
        # A running call cannot be cancelled.
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="blocking call", daemon=True).start()
        return future


THREADS = DaemonThreads()

_running: dict[tuple[Hashable, Hashable], asyncio.Future[Any]] = {}


async def call(key: Hashable, work: Callable[[], T], *, seconds: float = SECONDS) -> T:
    """Return the result of `work`, called in a thread. Raises TimeoutError after `seconds`.

    If a call with the same `key` is still running, waits for that one instead of calling `work`.
    """
    loop = asyncio.get_running_loop()
    task_key = (loop, key)
    future: asyncio.Future[T] | None = _running.get(task_key)
    if future is None:
        future = _running[task_key] = loop.run_in_executor(THREADS, work)
        future.add_done_callback(lambda done: _forget(task_key, done))
    await asyncio.wait([future], timeout=seconds)
    if not future.done():
        raise TimeoutError
    return future.result()


def _forget(task_key: tuple[Hashable, Hashable], done: asyncio.Future[Any]) -> None:
    _running.pop(task_key, None)
    if not done.cancelled():
        done.exception()  # the waiting task may have given up
