"""Accepts connections, instead of asyncio's accept loop.

When there are no free descriptors, asyncio's loop continues through the backlog, with an error line
and a timer for each connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

import structlog

from keepalived.host.descriptors import EXHAUSTED
from keepalived.serving.throttle import Throttle

AT_ONCE = 16
"""The most accepted connections that are not admitted or refused yet."""
_PAUSE_SECONDS = 1.0

log = structlog.stdlib.get_logger("clkeepalived")


class Acceptor:
    """Accepts connections to listening sockets, and makes a protocol for each.

    While there are no free descriptors, connections wait in the backlog.
    """

    def __init__(
        self, listening: Iterable[socket.socket], make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listening = tuple(listening)
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._connecting: set[asyncio.Task[object]] = set()
        self._throttle = Throttle()
        for each in self._listening:
            each.setblocking(False)
            self._resume(each)

    def close(self) -> None:
        """Stop accepting, and close the sockets. Idempotent."""
        for each in self._listening:
            if each.fileno() >= 0:
                self._loop.remove_reader(each)
                each.close()
        for pause in self._pauses.values():
            pause.cancel()

    def _resume(self, listening: socket.socket) -> None:
        self._pauses.pop(listening, None)
        self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        while len(self._connecting) < AT_ONCE:
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._pause(listening, error)
                    return
                continue  # the client has already disconnected
            connection.setblocking(False)
            connecting = self._loop.create_task(self._serve(connection))
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        self._loop.remove_reader(listening)
        self._pauses[listening] = self._loop.call_later(_PAUSE_SECONDS, self._resume, listening)
        omitted = self._throttle.admit()
        if omitted is not None:
            log.error("descriptors_exhausted", detail=error.strerror, omitted=omitted)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:
            connection.close()  # the client has disconnected
