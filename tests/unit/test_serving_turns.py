"""One request is begun in each turn of the loop, and those who ask alternate."""

from __future__ import annotations

import asyncio
from collections import Counter

from keepalived.serving.turns import Turns


async def test_one_is_begun_in_each_turn_of_the_loop() -> None:
    turns = Turns()
    number = 0
    begun: Counter[int] = Counter()

    async def count() -> None:
        nonlocal number
        while True:
            number += 1
            await asyncio.sleep(0)

    async def serve() -> None:
        await turns.take("alice")
        begun[number] += 1

    counting = asyncio.create_task(count())
    await asyncio.gather(*(serve() for _ in range(50)))
    counting.cancel()
    assert sum(begun.values()) == 50
    assert max(begun.values()) == 1


async def test_parties_alternate_however_many_wait() -> None:
    turns = Turns()
    order: list[str] = []

    async def serve(party: str) -> None:
        await turns.take(party)
        order.append(party)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(serve("alice"))
        for party in ("bob", "bob", "carol"):
            tasks.create_task(serve(party))
    assert "carol" in order[:7]
    assert order[:7].count("bob") == 2


async def test_who_leaves_takes_nobody_s_turn() -> None:
    turns = Turns()
    leaving = [asyncio.create_task(turns.take("alice")) for _ in range(10)]
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    await asyncio.wait(leaving)
    async with asyncio.timeout(60):
        await turns.take("alice")
        await turns.take("bob")
