"""The soak's churn: tasks that hold sessions one after the other, with every kind of owner."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import aiohttp

from benchmarks.folder import write
from benchmarks.soak.site import Caller, Site
from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.errors import ApiError

VCENTERS = ("lab", "lab", "old")
_FILES = 4
_FILE_SESSIONS = 6
_CONFIRM_SECONDS = 30.0
_PIECE = bytes(16 * 1024)
_PIECES = 8


class Churn:
    """The tasks of the churn. Each public method is one task, active until `over` is set."""

    def __init__(self, site: Site, over: asyncio.Event) -> None:
        self._site = site
        self._over = over

    async def by_ttl(self, draw: random.Random) -> None:
        """Hold for a few seconds, and extend that; then release the hold or let it run out."""
        async with self._caller() as caller:
            while not self._over.is_set():
                vcenter, kind, session_id = self._open(draw)
                path = _path(vcenter, kind, session_id)
                await self._put(caller, path, {"owner": {"ttl": 6}, "note": "soak"})
                self._site.must_live(vcenter, session_id, kind)
                for percent in range(1, draw.randrange(2, 6)):
                    await self._pause(draw.uniform(0.5, 3.0))
                    await self._ask(caller, "PATCH", path, {"progress": percent}, HTTPStatus.OK)
                self._site.may_end(vcenter, session_id)
                if self._over.is_set() or draw.random() < 0.7:
                    await self._release(caller, path)

    async def by_nothing(self, draw: random.Random) -> None:
        """Hold without an owner; the session ends in different ways on the server."""
        async with self._caller() as caller:
            while not self._over.is_set():
                vcenter, kind, session_id = self._open(draw)
                path = _path(vcenter, kind, session_id)
                await self._put(caller, path, {"owner": None, "progress": 1})
                self._site.must_live(vcenter, session_id, kind)
                await self._pause(draw.uniform(1.0, 10.0))
                self._site.may_end(vcenter, session_id)
                self._end(self._site.simulators[vcenter], kind, session_id, draw)
                await self._pause(draw.uniform(0.0, 2.0))
                # The hold is still there if the daemon has not noticed the end yet.
                await self._release(caller, path)

    async def by_process(self, draw: random.Random) -> None:
        """Hold while a process runs, sometimes several sessions for one process."""
        async with self._caller() as caller:
            while not self._over.is_set():
                process = await asyncio.create_subprocess_exec("sleep", "600")
                try:
                    mine = [self._open(draw) for _ in range(draw.randrange(1, 4))]
                    for each in mine:
                        await self._put(caller, _path(*each), {"owner": {"pid": process.pid}})
                        self._site.must_live(each[0], each[2], each[1])
                    await self._pause(draw.uniform(1.0, 12.0))
                    for vcenter, _, session_id in mine:
                        self._site.may_end(vcenter, session_id)
                finally:
                    process.kill()
                    await process.wait()

    async def by_connection(self, draw: random.Random) -> None:
        """Hold while a connection stays open, reading the stream or not."""
        while not self._over.is_set():
            vcenter, kind, session_id = self._open(draw)
            async with self._caller() as caller:
                path = _path(vcenter, kind, session_id)
                answer = await caller.stream("PUT", path, {"owner": {"connection": True}})
                if answer.status != HTTPStatus.CREATED:
                    self._complain("PUT", path, answer.status, await answer.text())
                    continue
                self._site.must_live(vcenter, session_id, kind)
                pause = draw.uniform(1.0, 10.0)
                if draw.random() < 0.7:
                    await self._read(answer, pause)
                else:
                    await self._pause(pause)
                self._site.may_end(vcenter, session_id)
                answer.close()

    async def by_transfer(self, draw: random.Random) -> None:
        """Upload with a lent token; faults may break the transfer off."""
        simulator = self._site.simulators["lab"]
        mine = aiohttp.ClientSession(simulator.base_url, cookie_jar=aiohttp.DummyCookieJar())
        async with self._caller() as caller, mine as http:
            while not self._over.is_set():
                token = simulator.logins.log_in(simulator.username, simulator.password)
                http.headers["vmware-api-session-id"] = token
                session_id = self._site.open("lab")
                path = _path("lab", Kind.UPDATE, session_id)
                await self._put(caller, path, {"owner": {"ttl": "1m"}, "token": token})
                self._site.must_live("lab", session_id)
                with suppress(aiohttp.ClientError, TimeoutError, KeyError):
                    async with asyncio.timeout(15):
                        await self._transfer(http, session_id, draw)
                self._site.may_end("lab", session_id)
                with suppress(ApiError):
                    simulator.library.sessions.complete(Kind.UPDATE, session_id)
                await self._release(caller, path)
                simulator.logins.log_out(token)

    async def by_file(self, draw: random.Random, number: int) -> None:
        """Rewrite a session file every few seconds, sometimes with errors."""
        path = self._site.folder / "sessions.d" / f"{number}.yaml"
        held: list[str] = []
        async with self._caller() as caller:
            while not self._over.is_set():
                added = [
                    self._site.open("lab")
                    for _ in range(draw.randrange(0, _FILE_SESSIONS + 1 - len(held)))
                ]
                gone = [held.pop(draw.randrange(len(held))) for _ in range(len(held) // 3)]
                for each in gone:
                    self._site.may_end("lab", each)
                held += added
                write(path, _session_file(held, broken_entry=draw.random() < 0.1))
                for each in added:
                    await self._confirm(caller, each)
                if draw.random() < 0.2:
                    self._site.counts["broken session files"] += 1
                    write(path, "sessions: [{id: 'half a li\n")
                await self._pause(draw.uniform(1.0, 6.0))
            for each in held:
                self._site.may_end("lab", each)
            write(path, "sessions: []\n")

    async def unregistered(self, draw: random.Random) -> None:
        """Open sessions without holding them; they are discovered while their vCenter exists."""
        while not self._over.is_set():
            session_id = self._site.open("guest")
            await self._pause(draw.uniform(2.0, 8.0))
            self._end(self._site.simulators["guest"], Kind.UPDATE, session_id, draw)
            self._site.may_end("guest", session_id)

    # -- helpers

    @asynccontextmanager
    async def _caller(self) -> AsyncIterator[Caller]:
        async with Caller(self._site.socket) as caller:
            yield caller

    def _open(self, draw: random.Random) -> tuple[str, Kind, str]:
        vcenter = draw.choice(VCENTERS)
        kind = Kind.DOWNLOAD if draw.random() < 0.25 else Kind.UPDATE
        return vcenter, kind, self._site.open(vcenter, kind)

    def _end(self, simulator: Simulator, kind: Kind, session_id: str, draw: random.Random) -> None:
        sessions = simulator.library.sessions
        with suppress(ApiError):  # a discovered session may have ended unnoticed
            way = draw.randrange(4)
            if way == 0:
                sessions.cancel(kind, session_id)
            elif way == 1:
                sessions.fail(kind, session_id, "the datastore is full")
            elif way == 2 and kind is Kind.UPDATE:
                sessions.complete(kind, session_id)
            else:
                sessions.cancel(kind, session_id)
                sessions.delete(kind, session_id)

    async def _transfer(
        self, http: aiohttp.ClientSession, session_id: str, draw: random.Random
    ) -> None:
        where = f"/api/content/library/item/update-session/{session_id}"
        size = len(_PIECE) * _PIECES
        file = {"name": "disk.vmdk", "source_type": "PUSH", "size": size}
        async with http.post(f"{where}/file", json=file) as answer:
            uri = (await answer.json())["upload_endpoint"]["uri"]

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(_PIECES):
                yield _PIECE
                await self._pause(draw.uniform(0.0, 0.6))

        async with http.put(uri, data=pieces()) as answer:
            await answer.read()
        self._site.counts["transfers"] += 1

    async def _confirm(self, caller: Caller, session_id: str) -> None:
        """Wait until a session of a file is held; from then on it must stay alive."""
        try:
            async with asyncio.timeout(_CONFIRM_SECONDS):
                while True:
                    status, answer = await caller.send("GET", f"/v1/sessions/lab/{session_id}")
                    if status == HTTPStatus.OK and answer["state"] == "ACTIVE":
                        break
                    await asyncio.sleep(0.25)
        except TimeoutError:
            self._site.complaints.append(f"a session of a file is not held: {session_id}")
        else:
            self._site.must_live("lab", session_id)

    async def _put(self, caller: Caller, path: str, body: dict[str, object]) -> None:
        await self._ask(caller, "PUT", path, body, HTTPStatus.CREATED)

    async def _release(self, caller: Caller, path: str) -> None:
        # A hold is gone if its session ended on the server or its time ran out.
        gone = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        await self._ask(caller, "DELETE", path, None, HTTPStatus.OK, *gone)

    async def _ask(
        self, caller: Caller, method: str, path: str, body: object, *expected: HTTPStatus
    ) -> None:
        status, answer = await caller.send(method, path, body)
        self._site.counts[f"{method} of holds"] += 1
        if status not in expected:
            self._complain(method, path, status, answer)

    def _complain(self, method: str, path: str, status: int, answer: object) -> None:
        self._site.complaints.append(f"{method} {path} was answered by {status}: {answer}")

    async def _read(self, answer: aiohttp.ClientResponse, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _ in answer.content:
                    if self._over.is_set():
                        return

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()


def _path(vcenter: str, kind: Kind, session_id: str) -> str:
    return f"/v1/sessions/{vcenter}/{session_id}?kind={kind.value}"


def _session_file(ids: list[str], *, broken_entry: bool) -> str:
    lines = [f"- {{id: '{each}', vcenter: lab}}\n" for each in ids]
    if broken_entry:
        lines.insert(0, "- {id: 'no/such/form', progres: 12}\n")
    return "sessions:\n" + "".join(lines) if lines else "sessions: []\n"
