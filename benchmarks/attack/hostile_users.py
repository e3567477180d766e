"""Hostile users of the control socket: excessive requests, excessive holds and wrong tokens."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from http import HTTPStatus
from itertools import count, cycle
from pathlib import Path

from benchmarks.attack.channel import Channel, Message, serve
from benchmarks.attack.talk import Caller, connect, read_head, request

_LISTERS = 110
_LISTENERS = 30
_HOLDERS = 20
"""Connections with a hold that never read."""
_PAUSE_SECONDS = 0.02
_ANSWER_SECONDS = 60.0
_NOTE = "\u00e4" * 500
_TTL = {"ttl": "15s"}
_TOGETHER_SECONDS = 15.0

_LISTS = (
    "/v1/sessions",
    "/v1/vcenters/lab/sessions",
    "/v1/vcenters/bad/sessions",
    "/v1/sessions?mine=true",
    "/v1/status",
    "/v1/vcenters",
    "/openapi.json",
)


_KINDS = (
    "lists",
    "PUTs of a storm",
    "DELETEs of a storm",
    "wrong tokens",
    "renewals asked for",
    "holds taken",
    "holds on one session",
    "deaf listeners",
    "deaf holders",
)


class _Attacks:
    """Each public method is one hostile user, active until the run is over."""

    def __init__(self, channel: Channel, order: Message) -> None:
        self._channel = channel
        self._counts = channel.counts
        self._socket = Path(order["control"])
        self._targets: list[str] = order["targets"]
        self._is_admin: bool = order["is_admin"]
        self._draw = random.Random(order["seed"])  # noqa: S311 - seeded, and no secret
        self._numbers = count()

    async def lists(self) -> None:
        """Request lists, one after the other."""
        with closing(Caller(self._socket)) as caller:
            for path in cycle(_LISTS):
                if self._channel.over.is_set():
                    return
                await self._ask(caller, "lists", "GET", path)
                await self._channel.pause(_PAUSE_SECONDS)

    async def storms(self) -> None:
        """Take and release holds, with notes of maximal length."""
        owners = cycle(({"ttl": "1s"}, {"pid": os.getpid()}, None, _TTL))
        with closing(Caller(self._socket)) as caller:
            while not self._channel.over.is_set():
                path = f"/v1/sessions/lab/storm-{self._draw.randrange(50)}"
                body = {"owner": next(owners), "note": _NOTE, "progress": 1}
                await self._ask(caller, "PUTs of a storm", "PUT", path, body)
                if self._draw.random() < 0.9:
                    await self._ask(caller, "DELETEs of a storm", "DELETE", path)
                await self._channel.pause(_PAUSE_SECONDS)

    async def tokens(self) -> None:
        """Lend wrong tokens for sessions of other users, and request renewals repeatedly."""
        with closing(Caller(self._socket)) as caller:
            while not self._channel.over.is_set():
                path = f"/v1/sessions/lab/{self._draw.choice(self._targets)}"
                token = f"no-token-{next(self._numbers)}"
                body = {"owner": _TTL, "token": token, "note": _NOTE}
                await self._ask(caller, "wrong tokens", "PUT", path, body)
                await self._ask(caller, "wrong tokens", "PATCH", path, {"token": f"{token}-again"})
                await self._ask(caller, "renewals asked for", "POST", f"{path}/keep-alive")
                await self._channel.pause(_PAUSE_SECONDS)

    async def most_holds(self) -> None:
        """Take the maximal number of holds, on existing and on unknown sessions.

        Many of them end at the same time.
        """
        with closing(Caller(self._socket)) as caller:
            while not self._channel.over.is_set():
                number = next(self._numbers)
                vcenter = "lab" if number % 2 else "bad"
                name = self._draw.choice(self._targets) if number % 8 == 0 else f"none-{number}"
                path = f"/v1/sessions/{vcenter}/{name}"
                ttl = 2 * _TOGETHER_SECONDS - time.monotonic() % _TOGETHER_SECONDS
                body = {"owner": {"ttl": ttl}, "note": _NOTE}
                await self._ask(caller, "holds taken", "PUT", path, body)

    async def many_holds(self) -> None:
        """Take the maximal number of holds on one session."""
        name = "holds on one session"
        with closing(Caller(self._socket)) as caller:
            for pid in cycle((os.getpid(), os.getppid(), 1, 2**22)):
                if self._channel.over.is_set():
                    return
                path = f"/v1/sessions/lab/{self._draw.choice(self._targets)}"
                for owner in ({"pid": pid}, None, {"ttl": "10s"}, {"ttl": "11s"}):
                    await self._ask(caller, name, "PUT", path, {"owner": owner, "note": _NOTE})
                await self._ask(caller, name, "DELETE", f"{path}?owner=none")

    async def trespasses(self) -> None:
        """Send requests that only administrators may send."""
        with closing(Caller(self._socket)) as caller:
            for method, path in cycle(
                (
                    ("DELETE", "/v1/sessions/lab/{}?uid=0"),
                    ("DELETE", "/v1/sessions/lab/{}?owner=discovery"),
                    ("GET", "/v1/sessions/lab/{}"),
                    ("POST", "/v1/sessions/lab/{}/cancel?force=true"),
                    ("POST", "/v1/reload"),
                )
            ):
                if self._channel.over.is_set():
                    return
                path = path.format(self._draw.choice(self._targets))
                await self._ask(caller, "trespasses", method, path)
                await self._channel.pause(10 * _PAUSE_SECONDS)

    async def listeners(self) -> None:
        """Subscribe to the events, and never read them."""
        await self._hold_open("deaf listeners", request("GET", "/v1/events"))

    async def holders(self) -> None:
        """Hold sessions by connections that are never read, and close them after a while."""
        target = self._draw.choice(self._targets)
        body = {"owner": {"connection": True}, "note": _NOTE}
        sent = request("PUT", f"/v1/sessions/lab/{target}", body)
        await self._hold_open("deaf holders", sent)

    async def _hold_open(self, name: str, sent: bytes) -> None:
        while not self._channel.over.is_set():
            try:
                reader, writer = await connect(self._socket)
            except OSError:
                await self._channel.pause(1.0)
                continue
            with suppress(OSError, TimeoutError):
                writer.write(sent)
                async with asyncio.timeout(_ANSWER_SECONDS):
                    status, _ = await read_head(reader)
                # asyncio stops to read when its buffer is full.
                self._note(name, status)
                await self._channel.pause(self._draw.uniform(20.0, 60.0))
            writer.close()

    async def _ask(
        self, caller: Caller, name: str, method: str, path: str, body: object = None
    ) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await caller.send(method, path, body)
        except TimeoutError:
            self._counts["requests without an answer"] += 1
        except (OSError, ValueError):
            self._counts["connections closed"] += 1
            await self._channel.pause(1.0)
        else:
            self._note(name, answer.status)
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                await self._channel.pause(0.2)

    def _note(self, name: str, status: int) -> None:
        self._counts[name] += 1
        self._counts[f"answers {status // 100}xx"] += 1
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._counts["limits reached"] += 1


async def _work(channel: Channel, order: Message) -> None:
    channel.announce(_KINDS)
    attacks = _Attacks(channel, order)
    users: list[Callable[[], Awaitable[None]]] = [
        *[attacks.lists] * _LISTERS,
        *[attacks.storms] * 8,
        *[attacks.tokens] * 4,
        *[attacks.most_holds] * 4,
        attacks.many_holds,
        *[attacks.listeners] * _LISTENERS,
        *[attacks.holders] * _HOLDERS,
    ]
    if not order["is_admin"]:
        users.append(attacks.trespasses)
    async with asyncio.TaskGroup() as tasks:
        for user in users:
            tasks.create_task(_endlessly(user))


async def _endlessly(user: Callable[[], Awaitable[None]]) -> None:
    await user()


if __name__ == "__main__":
    serve(_work, is_hostile=True)
