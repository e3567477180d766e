"""Turns: however many requests arrive at once, one is begun in each turn of the event loop.

Renewals share the loop with the requests of everybody who may connect. Hundreds of connections that
ask without a pause would otherwise be served all in one turn, for which renewals have to wait.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class Turns:
    """Lets one waiter go on in each turn of the loop; the parties among them alternate."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_giving = False

    async def take(self, party: Hashable) -> None:
        """Wait for a turn of one's own, as one of a party."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        if not self._is_giving:
            self._is_giving = True
            loop.call_soon(self._give)
        await turn

    def _give(self) -> None:
        while self._waiting:
            party, waiters = self._waiting.popitem(last=False)
            turn = waiters.popleft()
            if waiters:
                self._waiting[party] = waiters  # at the end
            if not turn.done():  # whoever waited for it may have left
                turn.set_result(None)
                turn.get_loop().call_soon(self._give)
                return
        self._is_giving = False
