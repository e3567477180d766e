"""The control socket against its own description, with requests that schemathesis thinks up.

FUZZ_EXAMPLES says how many for each operation; more of them find more.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from keepalived.control import openapi
from keepalived.control.routes import ROUTES
from tests.support.control import running_control
from tests.support.unix_requests import BASE_URL, unix_session

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))
IDS = ("session-1", "session-2", "815994e5:9c7e16e9")

schema = schemathesis.openapi.from_dict(openapi.describe(ROUTES, "test"))
# What fits the schema is accepted, unless it contradicts itself, of which a schema cannot tell.
accepted = schema.config.checks.positive_data_acceptance
accepted.expected_statuses = ["2xx", "404", "409", "422"]


@schema.hook
def map_path_parameters(_context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Let what could name a session name one of a few, so that requests meet."""
    if not parameters:
        return parameters
    valid = {
        name: bool(re.fullmatch(r"[A-Za-z0-9._:-]+", str(each)))
        for name, each in parameters.items()
    }
    if valid.get("id") and parameters["id"] not in (".", "..") and len(parameters["id"]) <= 255:
        parameters["id"] = IDS[len(parameters["id"]) % len(IDS)]
    if valid.get("vcenter") and len(parameters["vcenter"]) <= 255:
        parameters["vcenter"] = ("lab", "-", "elsewhere")[len(parameters["vcenter"]) % 3]
    return parameters


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A control socket in a thread of its own, and a session to talk to it."""
    directory = tmp_path_factory.mktemp("control")
    thread = threading.Thread(target=lambda: asyncio.run(serve(directory)))
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve(directory: Path) -> None:
        loops.append(asyncio.get_running_loop())
        async with running_control(directory):
            started.set()
            await stop.wait()

    thread.start()
    assert started.wait(120)
    with unix_session(directory / "control.sock") as session:
        yield session
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(120)
    assert not thread.is_alive()


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@schema.parametrize()
def test_an_answer_is_as_described(case: Any, session: Any) -> None:
    case.call_and_validate(base_url=BASE_URL, session=session)


@pytest.mark.extended
@pytest.mark.timeout(300 + 10 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@schema.parametrize()
def test_every_answer_is_as_described(case: Any, session: Any) -> None:
    case.call_and_validate(base_url=BASE_URL, session=session)
