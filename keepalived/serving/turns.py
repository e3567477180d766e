"""Limits requests to one per iteration of the event loop, however many arrive at once.

Renewals share the loop with the requests of all clients. Without this, hundreds of busy connections
would all be served in one iteration, which delays renewals.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class Turns:
    """Gives one turn per iteration of the loop, alternating between clients."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_taken = False

    async def take(self, client: Hashable) -> None:
        """Wait for a turn, on behalf of `client`. Returns at once if no turn is taken."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._give)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        await turn

    def _give(self) -> None:
        while self._waiting:
            client, waiters = self._waiting.popitem(last=False)
            turn = waiters.popleft()
            if waiters:
                self._waiting[client] = waiters  # at the end
            if not turn.done():  # the waiter may have been cancelled
                turn.set_result(None)
                turn.get_loop().call_soon(self._give)
                return
        self._is_taken = False
