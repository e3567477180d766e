"""Arbitrary bytes as request bodies: the answer always says what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.damage import EXAMPLES, SECRET, damaged, fuzzed, objects, values
from tests.support.control import running_control

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

counts = st.integers(0, 100)
owners = st.none() | st.sampled_from(
    [{"ttl": "2m"}, {"pid": 1}, {"connection": True}, {"ttl": 1, "pid": 1}, {}]
)
wishes = objects(
    {
        "owner": owners,
        "progress": counts,
        "bytes_done": counts,
        "bytes_total": counts,
        "token": st.just(SECRET),
        "max_lifetime": st.sampled_from(["1d", 5, "5 d"]),
        "note": st.text(max_size=9),
    }
)
bodies = damaged(
    (wishes | values).map(lambda each: json.dumps(each).encode()) | st.binary(max_size=40)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Path]]:
    """A control socket, and the runner of its event loop."""
    folder = tmp_path_factory.mktemp("control")
    with asyncio.Runner() as runner:
        control = running_control(folder)
        yield runner, runner.run(control.__aenter__()).path
        runner.run(control.__aexit__(None, None, None))


async def send(socket: Path, method: str, target: str, body: bytes) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(str(socket))
    async with (
        aiohttp.ClientSession("http://daemon", connector=connector) as http,
        asyncio.timeout(120),
        http.request(method, target, data=body) as answer,
    ):
        if answer.content_type == "application/x-ndjson":  # an endless stream
            return answer.status, (await answer.content.readline()).decode()
        return answer.status, await answer.text()


@given(
    st.sampled_from(["PUT", "PATCH", "DELETE", "POST"]),
    st.sampled_from(
        ["/v1/sessions/lab/session-1", "/v1/sessions/-/a:b?kind=download", "/v1/reload", "/v1/x"]
    ),
    bodies,
)
@fuzzed
def test_any_bytes_are_answered_in_words_and_never_by_a_failure_of_ours(
    place: tuple[asyncio.Runner, Path], method: str, target: str, body: bytes
) -> None:
    runner, socket = place
    status, text = runner.run(send(socket, method, target, body))
    answer = json.loads(text)
    assert status < 500
    assert status < 400 or answer["detail"] or answer["errors"]
    assert SECRET not in text
