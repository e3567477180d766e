"""Run a client on the simulator, in one event loop on the fake clock, without HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from keepalived.settings import VCenterSettings
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response
from keepalived.validation import validate
from keepalived.vcenter.client import Client
from keepalived.vcenter.login import LoginOutcome
from tests.support.engine import NAME, LoopClock, settings_of, simulator_in_loop
from tests.support.memory_transport import MemoryTransport

TIMEOUT = 5.0
HandleRequest = Callable[[Request], Awaitable[Response]]


class Bench:
    """A simulator and a client of it, and the client's reported logins."""

    def __init__(self, *, settings: dict[str, Any] | None = None, **options: Any) -> None:
        self.simulator: Simulator = simulator_in_loop(**options)
        self.clock = LoopClock()
        self.logins: list[LoginOutcome] = []
        self.requests: list[Request] = []
        self.client = self.another(**(settings or {}))

    def another(self, **changes: Any) -> Client:
        """Return another client of the same simulator, with changed settings."""
        settings = changed(settings_of(self.simulator, "http://vcenter.test"), **changes)
        transport = MemoryTransport(self._handle)
        return Client(NAME, settings, transport, self.clock, self.logins.append)

    async def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        return await self.simulator.handle(request)

    def routes(self) -> list[str]:
        """Return the requested routes, in order; an unknown route is an empty text."""
        return [entry.route for entry in self.simulator.ledger.requests()]

    def count(self, route: str) -> int:
        """Return the number of requests of a route."""
        return len(self.simulator.ledger.requests(route))


def changed(settings: VCenterSettings, **changes: Any) -> VCenterSettings:
    """Return settings with some fields changed, validated again."""
    given = {name: getattr(settings, name) for name in settings.given}
    return validate(VCenterSettings, {**given, **changes})


def client_of(handle: HandleRequest, **changes: Any) -> Client:
    """Return a client whose requests `handle` answers."""
    settings = validate(
        VCenterSettings,
        {"url": "http://vcenter.test", "username": "uploader", "password_env": "HOME", **changes},
    )
    return Client(NAME, settings, MemoryTransport(handle), LoopClock())
