"""What a run in real time finds, and how its program ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was seen, and what was allowed."""

    name: str
    seen: str
    allowed: str
    is_good: bool


def found(
    looking: Coroutine[None, None, list[Finding]], last_words: Callable[[], str]
) -> list[Finding]:
    """Run to the end, and put everything away at a SIGTERM; where it breaks off, say how."""
    try:
        return asyncio.run(_until_told(looking))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except BaseException:
        print("the log ends:", last_words(), sep="\n", file=sys.stderr)
        raise


async def _until_told(looking: Coroutine[None, None, list[Finding]]) -> list[Finding]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await looking


def tell(findings: Sequence[Finding]) -> NoReturn:
    """Print what was found, and end with 1 if anything is not as it has to be."""
    for each in findings:
        print(f"{'ok' if each.is_good else 'NO':<3} {each.name}: {each.seen} ({each.allowed})")
    sys.exit(0 if all(each.is_good for each in findings) else 1)
