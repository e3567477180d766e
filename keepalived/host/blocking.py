"""Calls that may hang for ever, as on a mount whose server is gone, and what is done beside them.

They run in daemon threads, which neither other calls nor the end of the process wait for. A call
that hangs is not begun a second time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 30.0
"""How long a look at a file may take before it counts as one that hangs."""


class DaemonThreads(Executor):
    """Runs each call in a daemon thread of its own."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start a call. Raises RuntimeError where the system has no thread to give."""
        future: Future[T] = Future()
        # Once it runs, nobody can cancel it.
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
    """Return what `work` returns, called in a thread. Raises TimeoutError after `seconds`.

    While a call of the same `key` hangs it is waited for, and `work` is not called.
    """
    loop = asyncio.get_running_loop()
    place = (loop, key)
    future: asyncio.Future[T] | None = _running.get(place)
    if future is None:
        future = _running[place] = loop.run_in_executor(THREADS, work)
        future.add_done_callback(lambda done: _forget(place, done))
    await asyncio.wait([future], timeout=seconds)
    if not future.done():
        raise TimeoutError
    return future.result()


def _forget(place: tuple[Hashable, Hashable], done: asyncio.Future[Any]) -> None:
    _running.pop(place, None)
    if not done.cancelled():
        done.exception()  # whoever waited may have given up
