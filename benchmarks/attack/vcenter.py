"""The honest vCenter: the simulator in its own process, which opens sessions on request.

python -m benchmarks.attack.vcenter '{"lifetime": 20.0}'
"""

from __future__ import annotations

from typing import Any

from benchmarks.attack.channel import Channel, Message, serve
from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve as serve_simulator

_simulators: list[Simulator] = []


async def _work(channel: Channel, order: Message) -> None:
    simulator = Simulator(session_timeout=order["lifetime"], ledger_limit=0)
    _simulators.append(simulator)
    async with serve_simulator(simulator) as url:
        who = {"username": simulator.username, "password": simulator.password}
        channel.send({"url": url, **who})
        await channel.over.wait()


def _handle(message: Message) -> Any:
    """Open sessions, issue API tokens, or return the final states of ended sessions."""
    (simulator,) = _simulators
    if "open" in message:
        return [simulator.open_session() for _ in range(message["open"])]
    if "tokens" in message:
        log_in = simulator.logins.log_in
        return [log_in(simulator.username, simulator.password) for _ in range(message["tokens"])]
    ledger = simulator.ledger
    ended = {name: record.ended for name, record in ledger.sessions() if record.ended is not None}
    return {"ended": ended}


if __name__ == "__main__":
    serve(_work, _handle)
