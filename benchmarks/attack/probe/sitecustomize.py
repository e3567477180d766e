"""Loaded into the attacked daemon: measures how late its event loop calls a timer.

Python imports a module of this name when it starts. SIGUSR1 restarts the measurement. SIGUSR2
writes the results to the file that ATTACK_PROBE names, in one rename. If ATTACK_STACKS names a
file, the threads' stacks are written there whenever the loop is blocked for long, as soon as the
interpreter handles the signal.
"""

import asyncio
import atexit
import ctypes
import heapq
import json
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

_BEAT_SECONDS = 0.01
_WORST = 100
_LONG_SECONDS = 0.1
_FRAMES = 12


class _Schedule:
    """The kernel's times for each thread: running, and waiting for a processor.

    They are read without releasing the interpreter's lock. Each system call of `os` releases it,
    and while another thread is busy the loop would wait for it after each call.
    """

    def __init__(self) -> None:
        self._own = threading.get_native_id()
        self._files: dict[int, int] = {}
        self._before: dict[int, tuple[float, float]] = {}
        self._pread = ctypes.PyDLL(None).pread
        self._buffer = ctypes.create_string_buffer(100)

    def passed(self) -> tuple[float, float, float]:
        """Return seconds since the last call: for which this thread ran, for which it waited for a
        processor, and for which the longest-waiting other thread did."""
        now = self._read()
        none = (0.0, 0.0)
        spans = {
            thread: (
                ran - self._before.get(thread, none)[0],
                late - self._before.get(thread, none)[1],
            )
            for thread, (ran, late) in now.items()
        }
        self._before = now
        ran, waited = spans.pop(self._own, none)
        return ran, waited, max((late for _, late in spans.values()), default=0.0)

    def _read(self) -> dict[int, tuple[float, float]]:
        found = {}
        for thread in [each.native_id for each in threading.enumerate()]:
            if thread is None:
                continue
            if thread not in self._files:
                with suppress(OSError):  # the thread has ended, or the kernel has no such file
                    path = f"/proc/self/task/{thread}/schedstat"
                    self._files[thread] = os.open(path, os.O_RDONLY)
            size = self._pread(self._files.get(thread, -1), self._buffer, 100, ctypes.c_int64(0))
            if size > 0:
                ran, waited, _ = self._buffer.raw[:size].split()
                found[thread] = (int(ran) / 1e9, int(waited) / 1e9)
        for thread in self._files.keys() - found.keys():
            os.close(self._files.pop(thread))
        return found


class _Pulse:
    """A timer in the loop, with times in seconds.

    `worst` holds the stops with the longest own time: the own time, the whole time, and when. Own
    time excludes the time in which the loop's thread, or the thread that held the interpreter's
    lock, waited for a processor that other processes used.
    """

    def __init__(self) -> None:
        self.worst: list[tuple[float, float, float]] = []
        self.longest = 0.0
        self.beats = 0
        self.milliseconds = [0] * 1001
        self._schedule = _Schedule()
        self._stacks = os.environ.get("ATTACK_STACKS")
        self._due = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = time.monotonic()
        self._schedule.passed()
        self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        late = now - self._due
        ran, waited, another_waited = self._schedule.passed()
        slept = max(0.0, late - ran - waited)
        own = max(0.0, late - waited - min(slept, another_waited))
        self.longest = max(self.longest, late)
        if len(self.worst) < _WORST:
            heapq.heappush(self.worst, (own, late, now))
        else:
            heapq.heappushpop(self.worst, (own, late, now))
        self.beats += 1
        self.milliseconds[max(0, min(1000, int(1000 * late)))] += 1
        self._due = time.monotonic() + _BEAT_SECONDS
        self._loop.call_later(_BEAT_SECONDS, self._beat)
        if self._stacks is not None:
            signal.setitimer(signal.ITIMER_REAL, _LONG_SECONDS, _LONG_SECONDS / 2)

    def begin_anew(self, _number: int, _frame: types.FrameType | None) -> None:
        self.worst, self.longest, self.beats = [], 0.0, 0
        self.milliseconds = [0] * 1001

    def write_results(self, _number: int, _frame: types.FrameType | None) -> None:
        results = {
            "beats": self.beats,
            "longest": self.longest,
            "worst": sorted(self.worst, reverse=True),
            "milliseconds": self.milliseconds,
        }
        # The loop does not wait for the disk.
        threading.Thread(target=_write, args=(results,), daemon=True).start()

    def write_stack(self, _number: int, frame: types.FrameType | None) -> None:
        assert self._stacks is not None
        with open(self._stacks, "a", encoding="utf-8") as file:
            now = time.monotonic()
            file.write(f"{now - self._due:.3f} s late at {now:.3f}\n")
            for number, each in sys._current_frames().items():
                is_ours = number == threading.get_ident()
                file.write("the loop\n" if is_ours else f"thread {number}\n")
                file.writelines(traceback.format_stack(frame if is_ours else each)[-_FRAMES:])


def _write(results: dict[str, object]) -> None:
    path = os.environ["ATTACK_PROBE"]
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        json.dump(results, file)
    os.replace(f"{path}.part", path)


if "ATTACK_PROBE" in os.environ:
    _pulse = _Pulse()
    signal.signal(signal.SIGUSR1, _pulse.begin_anew)
    signal.signal(signal.SIGUSR2, _pulse.write_results)
    signal.signal(signal.SIGALRM, _pulse.write_stack)
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    _run = asyncio.Runner.run

    def _run_with_pulse(
        runner: asyncio.Runner, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> Any:
        _pulse.start(runner.get_loop())
        return _run(runner, coroutine, **options)

    asyncio.Runner.run = _run_with_pulse  # type: ignore[assignment,method-assign]
