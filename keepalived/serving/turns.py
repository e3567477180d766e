"""Turns: however many requests arrive at once, one is begun in each turn of the event loop.

Renewals share the loop with the requests of everybody who may connect. Hundreds of connections that
ask without a pause would otherwise be served all in one turn, for which renewals have to wait.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class Turns:
    """One turn in each round of the loop; the parties among those who wait alternate."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_taken = False

    async def take(self, party: Hashable) -> None:
        """Wait for a turn, as one of a party. It is given at once if it is free."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._give)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        await turn

    def _give(self) -> None:
        while self._waiting:
            party, waiters = self._waiting.popitem(last=False)
            turn = waiters.popleft()
            if waiters:
                self._waiting[party] = waiters  # at the end
            if not turn.done():  # the waiter may have been cancelled
                turn.set_result(None)
                turn.get_loop().call_soon(self._give)
                return
        self._is_taken = False
