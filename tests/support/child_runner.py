"""A program that runs a command as `exec` does and records its events.

`python -m tests.support.child_runner NOTES COMMAND…`: each line of the file NOTES is an event.
"""

from __future__ import annotations

import asyncio
import os
import sys

from keepalived.host.clock import SystemClock
from keepalived.wrapper.child import running
from keepalived.wrapper.command import CommandError


async def main(notes: str, argv: list[str]) -> int:
    with open(notes, "a", buffering=1, encoding="utf-8") as file:  # noqa: ASYNC230 # a few bytes

        def note(*words: object) -> None:
            print(*words, file=file)

        async def stopped() -> None:
            note("stopped")

        async def continued(gap: float) -> None:
            note("continued", child.is_in_foreground(), round(gap, 3))

        try:
            with running(
                argv, clock=SystemClock(), on_stopped=stopped, on_continued=continued
            ) as child:
                note("started", os.getpid(), child.pid, child.is_in_foreground())
                code = await child.wait()
                note("ended", code, child.is_in_foreground())
                if "LINGER" in os.environ:  # as `exec` does until all its sessions have ended
                    await asyncio.Event().wait()
        except CommandError as error:
            note("failed", error.exit_code, error)
            return error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
