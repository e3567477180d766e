"""A simulator in memory with a clock that the test sets, and a client for it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response

EPOCH = 1_700_000_000.0
ITEM = "/content/library/item"


@dataclass
class Hands:
    """A monotonic clock that the test sets."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


def basic(username: str, password: str) -> dict[str, str]:
    """Return the header that logs a user in."""
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


class Caller:
    """A client of a simulator without HTTP, in one dialect. Paths exclude the dialect's prefix."""

    def __init__(self, simulator: Simulator, prefix: str = "/api", token: str = "") -> None:
        self.simulator = simulator
        self.prefix = prefix
        self.token = token

    async def log_in(self, username: str | None = None, password: str | None = None) -> None:
        """Log in, by default as the simulator's first user."""
        simulator = self.simulator
        header = basic(username or simulator.username, password or simulator.password)
        path = "/session" if self.prefix == "/api" else "/cis/session"
        answer = await self.send("POST", path, headers=header)
        assert answer.status in (200, 201), answer
        token = json.loads(answer.body)
        self.token = token if isinstance(token, str) else token["value"]

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send a request unchanged."""
        token = {"vmware-api-session-id": self.token} if self.token else {}
        fields = {"content-type": content_type, **token, **(headers or {})}
        return await self.simulator.handle(Request(method, self.prefix + path, fields, body))

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON (None for no body) of a request with a JSON body."""
        sent = b"" if body is None else json.dumps(body).encode()
        answer = await self.send(method, path, sent)
        return answer.status, json.loads(answer.body) if answer.body else None


async def api_caller(simulator: Simulator) -> Caller:
    """Return a logged-in caller of the `api` dialect."""
    caller = Caller(simulator)
    await caller.log_in()
    return caller


async def rest_caller(simulator: Simulator) -> Caller:
    """Return a logged-in caller of the `rest` dialect."""
    caller = Caller(simulator, "/rest/com/vmware")
    await caller.log_in()
    return caller
