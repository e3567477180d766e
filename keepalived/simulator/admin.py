"""The admin endpoint: faults, ledger and restarts over HTTP, as JSON and without login.

GET    /simulator/ledger    requests, events and counters; ?since=T leaves out older requests
GET    /simulator/faults    the faults in force
POST   /simulator/faults    {"effect": "latency", "by": 2, "route": "session.*", "count": 3}
DELETE /simulator/faults    removes all of them; /simulator/faults/ID one
POST   /simulator/restart   {"lose_tokens": false, "down_seconds": 0}

A fault has the fields of `faults.Faults.add` (`method`, `route`, `session_id`, `count`, `every`,
and `seconds` for how long it is in force) and those of its effect, whose `seconds` is named `by`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from keepalived.simulator.faults import EFFECTS, Fault, Refuse, effect_name
from keepalived.simulator.wire import Request, Response

if TYPE_CHECKING:
    from keepalived.simulator.app import Simulator

PREFIX = "/simulator/"

_CONDITIONS = frozenset({"method", "route", "session_id", "count", "every", "seconds"})


class _BadRequest(Exception):
    """The request cannot be carried out; the message says why."""


def handle(simulator: Simulator, request: Request) -> Response:
    """Answer a request to the admin endpoint."""
    path, _, query = request.target.partition("?")
    what, _, rest = path.removeprefix(PREFIX).partition("/")
    try:
        if (request.method, what) == ("GET", "ledger"):
            since = float(dict(parse_qsl(query)).get("since", "-inf"))
            return _answer(200, _ledger(simulator, since))
        if (request.method, what) == ("GET", "faults"):
            return _answer(200, [_fault_view(fault) for fault in simulator.faults])
        if (request.method, what) == ("POST", "faults"):
            return _answer(201, _fault_view(_add_fault(simulator, _body(request))))
        if (request.method, what) == ("DELETE", "faults"):
            return _lift(simulator, rest)
        if (request.method, what) == ("POST", "restart"):
            simulator.restart(**_restart_arguments(_body(request)))
            return _answer(200, {})
    except (_BadRequest, TypeError, ValueError) as error:
        return _answer(400, {"error": str(error)})
    return _answer(404, {"error": f"{request.method} {path} does not exist"})


def _ledger(simulator: Simulator, since: float) -> dict[str, Any]:
    ledger = simulator.ledger
    return {
        "now": simulator.clock.now(),
        "total": ledger.total,
        "requests": [dataclasses.asdict(entry) for entry in ledger.entries if entry.time >= since],
        "events": [event._asdict() for event in ledger.events],
        "sessions": {name: dataclasses.asdict(record) for name, record in ledger.sessions()},
    }


def _add_fault(simulator: Simulator, wanted: dict[str, Any]) -> Fault:
    """Add a fault from one object with its effect's name and fields and its conditions."""
    name = wanted.pop("effect", None)
    if name not in EFFECTS:
        raise _BadRequest(f"effect is one of {', '.join(EFFECTS)}")
    conditions = {key: wanted.pop(key) for key in _CONDITIONS & wanted.keys()}
    if "by" in wanted:
        wanted["seconds"] = float(wanted.pop("by"))
    effect = EFFECTS[name](**wanted)
    if isinstance(effect, Refuse) and "seconds" not in conditions:
        raise _BadRequest("refuse needs seconds: no request to remove it could connect")
    return simulator.faults.add(effect, **conditions)


def _lift(simulator: Simulator, fault_id: str) -> Response:
    if not fault_id:
        simulator.faults.clear()
        return _answer(200, {})
    for fault in list(simulator.faults):
        if str(fault.id) == fault_id:
            simulator.faults.remove(fault)
            return _answer(200, {})
    return _answer(404, {"error": f"there is no fault {fault_id}"})


def _restart_arguments(wanted: dict[str, Any]) -> dict[str, Any]:
    unknown = wanted.keys() - {"lose_tokens", "down_seconds"}
    if unknown:
        raise _BadRequest(f"unknown fields: {', '.join(sorted(unknown))}")
    return {
        "lose_tokens": bool(wanted.get("lose_tokens", False)),
        "down_seconds": float(wanted.get("down_seconds", 0)),
    }


def _fault_view(fault: Fault) -> dict[str, Any]:
    return {
        "id": fault.id,
        "effect": effect_name(fault.effect),
        **{
            {"seconds": "by"}.get(name, name): value
            for name, value in dataclasses.asdict(fault.effect).items()
        },
        "method": fault.method,
        "route": fault.route,
        "session_id": fault.session_id,
        "count": fault.remaining,
        "every": fault.every,
        "start": fault.start,
        "until": fault.until if math.isfinite(fault.until) else None,
    }


def _body(request: Request) -> dict[str, Any]:
    sent = json.loads(request.body or b"{}")
    if not isinstance(sent, dict):
        raise _BadRequest("the body is not a JSON object")
    return sent


def _answer(status: int, value: Any) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())
