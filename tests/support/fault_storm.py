"""Random sequences of faults, determined by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Effect, Fail, Latency, Refuse, Reset, Skew

LIFETIME = 300.0


@dataclass(frozen=True)
class Fault:
    """One fault for all clients: its effect, its duration, and the pause after it."""

    effect: Effect | None
    seconds: float
    calm: float


def faults(seed: int, slowest: float) -> Iterator[Fault]:
    """Yield endless faults. Each of them alone leaves every session savable.

    Each group of seven, counted from the first, has all seven kinds.
    `slowest` is the longest latency, in seconds, at which the workers still keep up.
    """
    draw = random.Random(seed)
    kinds: list[int] = []
    while True:
        if not kinds:
            kinds = draw.sample(range(7), k=7)
        calm = draw.uniform(200, 1200)
        kind = kinds.pop()
        if kind == 0:
            yield Fault(Refuse(), draw.uniform(5, 120), calm)
        elif kind == 1:
            busy = Fail(503, retry_after=draw.choice([None, 5.0, 30.0]))
            yield Fault(busy, draw.uniform(5, 120), calm)
        elif kind == 2:
            yield Fault(Latency(draw.uniform(0.05, 1.0) * slowest), draw.uniform(30, 300), calm)
        elif kind == 3:
            yield Fault(Reset(act_first=draw.random() < 0.5), draw.uniform(1, 60), calm)
        elif kind == 4:
            yield Fault(Skew(draw.uniform(-3600, 3600)), draw.uniform(60, 600), calm)
        elif kind == 5:
            yield Fault(Fail(draw.choice([429, 502, 504])), draw.uniform(5, 90), calm)
        else:
            yield Fault(None, 0.0, calm)


async def fault_storm(simulator: Simulator, seed: int, hours: float, sessions: int) -> None:
    """Apply faults to the simulator; a fault without effect makes it lose all tokens.

    Eight workers that wait for every answer keep up with a latency of 8 / sessions of half a
    lifetime. Half of that leaves them time to read states and files as well.
    """
    now = asyncio.get_running_loop().time
    end = now() + hours * 3600
    slowest = min(8.0, 8 / sessions * LIFETIME / 4)
    for fault in faults(seed, slowest):
        if now() >= end:
            return
        if fault.effect is None:
            simulator.restart(lose_tokens=True, down_seconds=1.0)
        else:
            simulator.faults.add(fault.effect, seconds=fault.seconds)
        await asyncio.sleep(fault.seconds + fault.calm)
