"""Findings of a run in real time, and the exit code they lead to."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: the observed value, the allowed value, and whether the check passed."""

    name: str
    seen: str
    allowed: str
    is_good: bool


def run_checks(
    work: Coroutine[None, None, list[Finding]], log_tail: Callable[[], str]
) -> list[Finding]:
    """Run to the end, cleaning up on SIGTERM; if the run fails, print the end of the log."""
    try:
        return asyncio.run(_until_terminated(work))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except BaseException:
        print("end of the log:", log_tail(), sep="\n", file=sys.stderr)
        raise


async def _until_terminated(work: Coroutine[None, None, list[Finding]]) -> list[Finding]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def report_and_exit(findings: Sequence[Finding]) -> NoReturn:
    """Print the findings, and exit with 1 if any check failed."""
    for each in findings:
        print(f"{'ok' if each.is_good else 'NO':<3} {each.name}: {each.seen} ({each.allowed})")
    sys.exit(0 if all(each.is_good for each in findings) else 1)
