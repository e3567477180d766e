"""Loaded into a daemon under attack: how late a timer comes that its event loop should call.

Python imports a module of this name when it starts. SIGUSR1 begins the measurement anew; SIGUSR2
has what was measured written to the file that ATTACK_PROBE names, in one rename. Where
ATTACK_STACKS names a file, what the loop's thread does is written there whenever the loop stands
still for long, as soon as the interpreter gets to it.
"""

import asyncio
import atexit
import heapq
import json
import os
import signal
import threading
import time
import traceback
import types
from collections.abc import Coroutine
from typing import Any

_BEAT_SECONDS = 0.005
_WORST = 100
_LONG_SECONDS = 0.1
_FRAMES = 12


class _Pulse:
    """A timer in the loop. `worst` holds the longest stops: how long, when, and how much of that
    the loop's thread waited for a processor, which the machine's other work takes; in seconds."""

    def __init__(self) -> None:
        self.worst: list[tuple[float, float, float]] = []
        self.beats = 0
        self.milliseconds = [0] * 1001
        path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        self._waited_file = os.open(path, os.O_RDONLY) if os.path.exists(path) else -1
        self._stacks = os.environ.get("ATTACK_STACKS")
        self._due = 0.0
        self._waited = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due, self._waited = time.monotonic(), self._waited_for_a_processor()
        self._beat()

    def _beat(self) -> None:
        now, waited = time.monotonic(), self._waited_for_a_processor()
        late = now - self._due
        stop = (late, now, waited - self._waited)
        if len(self.worst) < _WORST:
            heapq.heappush(self.worst, stop)
        elif stop > self.worst[0]:
            heapq.heapreplace(self.worst, stop)
        self.beats += 1
        self.milliseconds[max(0, min(1000, int(1000 * late)))] += 1
        self._due, self._waited = now + _BEAT_SECONDS, waited
        self._loop.call_later(_BEAT_SECONDS, self._beat)
        if self._stacks is not None:
            signal.setitimer(signal.ITIMER_REAL, _LONG_SECONDS)

    def _waited_for_a_processor(self) -> float:
        if self._waited_file < 0:
            return 0.0
        return int(os.pread(self._waited_file, 100, 0).split()[1]) / 1e9

    def begin_anew(self, _number: int, _frame: types.FrameType | None) -> None:
        self.worst, self.beats, self.milliseconds = [], 0, [0] * 1001

    def tell(self, _number: int, _frame: types.FrameType | None) -> None:
        told = {
            "beats": self.beats,
            "worst": sorted(self.worst, reverse=True),
            "milliseconds": self.milliseconds,
        }
        path = os.environ["ATTACK_PROBE"]
        with open(f"{path}.part", "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(f"{path}.part", path)

    def write_stack(self, _number: int, frame: types.FrameType | None) -> None:
        assert self._stacks is not None
        with open(self._stacks, "a", encoding="utf-8") as file:
            file.write(f"{time.monotonic() - self._due:.3f} s late\n")
            file.writelines(traceback.format_stack(frame)[-_FRAMES:])


if "ATTACK_PROBE" in os.environ:
    _pulse = _Pulse()
    signal.signal(signal.SIGUSR1, _pulse.begin_anew)
    signal.signal(signal.SIGUSR2, _pulse.tell)
    signal.signal(signal.SIGALRM, _pulse.write_stack)
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    _run = asyncio.Runner.run

    def _run_with_pulse(
        runner: asyncio.Runner, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> Any:
        _pulse.start(runner.get_loop())
        return _run(runner, coroutine, **options)

    asyncio.Runner.run = _run_with_pulse  # type: ignore[assignment,method-assign]
