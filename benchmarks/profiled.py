"""Run the program and list the functions of the package that it enters.

`python -m benchmarks.profiled FILE COMMAND…` runs `clkeepalived COMMAND…`. The list starts with the
program, and anew at SIGUSR1; SIGUSR2 and the program's end write it to FILE. If the environment
variable LIST_UNTIL names a log event, the list ends at that event.
"""

from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import keepalived

_PACKAGE = os.path.dirname(keepalived.__file__) + os.sep
_entered: set[str] = set()
_is_over = False


class _Until(logging.Handler):
    """Ends the list with the first line of one event."""

    def emit(self, record: logging.LogRecord) -> None:
        global _is_over
        message = record.msg
        if isinstance(message, dict) and message.get("event") == os.environ.get("LIST_UNTIL"):
            _is_over = True


def _begin(_number: int, _frame: FrameType | None) -> None:
    global _is_over
    _entered.clear()
    _is_over = False


def _note(frame: FrameType, event: str, _argument: Any) -> None:
    code = frame.f_code
    is_function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
    if event == "call" and not _is_over and is_function and code.co_filename.startswith(_PACKAGE):
        path = code.co_filename.removeprefix(_PACKAGE)
        _entered.add(f"{path}:{code.co_firstlineno} {code.co_qualname}")


def main() -> None:
    """Run the given command under the profiler."""
    results = Path(sys.argv[1])
    sys.argv = ["clkeepalived", *sys.argv[2:]]

    def write(_number: int = 0, _frame: FrameType | None = None) -> None:
        part = results.with_suffix(".part")
        part.write_text("".join(f"{each}\n" for each in sorted(_entered)))
        part.rename(results)

    signal.signal(signal.SIGUSR1, _begin)
    signal.signal(signal.SIGUSR2, write)
    logging.getLogger("clkeepalived").addHandler(_Until())
    threading.setprofile(_note)
    sys.setprofile(_note)
    try:
        from keepalived.cli.main import main as program

        program()
    finally:
        sys.setprofile(None)
        write()


if __name__ == "__main__":
    main()
