"""Honest users and a scraper, which work during the attack and record how they are served.

They request one session at a time from the run, and report acknowledged holds to it at once.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.attack.channel import Channel, Message, serve
from benchmarks.attack.talk import Address, Caller

_USERS = 3
_PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 60.0
_KEPT = 2
"""Number of sessions kept out of three in a row; the others are released."""

_ids: asyncio.Queue[Message] = asyncio.Queue()


class _Honest:
    def __init__(self, channel: Channel, order: Message) -> None:
        host, port = order["http"]
        self._channel = channel
        self._socket = Path(order["control"])
        self._http: Address = (host, port)
        self._taken = 0

    async def user(self) -> None:
        """Take holds, report progress, and occasionally release a hold."""
        caller = Caller(self._socket)
        over = asyncio.create_task(self._channel.over.wait(), name="the end")
        while not self._channel.over.is_set():
            self._channel.send({"wants": 1})
            getting = asyncio.create_task(_ids.get(), name="a session")
            await asyncio.wait([over, getting], return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                break
            given = getting.result()
            await self._hold(caller, given)
            if given["may_release"]:
                await self._channel.pause(_PAUSE_SECONDS)
        caller.close()

    async def _hold(self, caller: Caller, given: Message) -> None:
        session_id = given["id"]
        path = f"/v1/sessions/lab/{session_id}"
        body: dict[str, Any] = {"owner": None, "note": "an upload"}
        if given.get("token"):
            body["token"] = given["token"]
        if await self._ask(caller, "PUT", path, body):
            self._taken += 1
            self._channel.send({"acknowledged": session_id})
        else:
            return
        await self._ask(caller, "PATCH", path, {"progress": 1})
        if given["may_release"] and self._taken % (_KEPT + 1) == 0:
            self._channel.send({"releasing": session_id})
            await self._ask(caller, "DELETE", path)

    async def scraper(self) -> None:
        """Scrape and probe as Prometheus and a supervisor do."""
        while not self._channel.over.is_set():
            caller = Caller(self._http)
            for path in ("/metrics", "/readyz", "/healthz"):
                await self._ask(caller, "GET", path)
            caller.close()
            await self._channel.pause(_PAUSE_SECONDS)

    async def _ask(self, caller: Caller, method: str, path: str, body: object = None) -> bool:
        name = f"honest {method} {path if method == 'GET' else ''}".strip()
        began = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await caller.send(method, path, body)
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            words = f"{method} {path}: {type(error).__name__}: {error}"
            self._channel.counts[f"{name}: no answer"] += 1
            self._channel.send({"trouble": words})
            return False
        is_good = answer.status < HTTPStatus.MULTIPLE_CHOICES
        self._channel.counts[name] += 1
        self._channel.send({"took": time.monotonic() - began, "what": name})
        if not is_good:
            words = answer.body[:300].decode(errors="replace")
            self._channel.send({"trouble": f"{method} {path}: {answer.status} {words}"})
        return is_good


async def _work(channel: Channel, order: Message) -> None:
    honest = _Honest(channel, order)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_USERS):
            tasks.create_task(honest.user())
        tasks.create_task(honest.scraper())


if __name__ == "__main__":
    serve(_work, _ids.put_nowait)
