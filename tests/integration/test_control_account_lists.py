"""Only administrators can make a vCenter list its sessions, one list at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from keepalived.control import streams
from keepalived.simulator.faults import Latency
from tests.support.control import NO_OWNER, caller, running_control
from tests.support.users import NOBODY, needs_root, open_directory


@needs_root
async def test_a_user_is_answered_from_memory() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control:
            held, other = control.open(), control.open()
            ledger = control.simulators["lab"].ledger
            path = f"/v1/sessions/lab/{held}"
            await control.curl("PUT", path, NO_OWNER, user=NOBODY, group=NOBODY)
            async with caller(control) as me:
                await me.put(f"/v1/sessions/lab/{other}", NO_OWNER)
            for _ in range(5):
                answer = await control.curl(
                    "GET", "/v1/vcenters/-/sessions", user=NOBODY, group=NOBODY
                )
                assert answer.status == 200
                assert answer.body["outcome"] == "ok"
                assert [each["id"] for each in answer.body["sessions"]] == [held]
            assert ledger.requests("update_session.list") == []


async def test_administrators_share_one_list(tmp_path: Path) -> None:
    async with running_control(tmp_path) as control:
        opened = {control.open() for _ in range(3)}
        simulator = control.simulators["lab"]
        simulator.faults.add(Latency(3.0), route="*.list")

        async def ask() -> set[str]:
            async with caller(control) as me:
                answer = await me.get("/v1/vcenters/-/sessions")
                assert answer.body["outcome"] == "ok"
                return {each["id"] for each in answer.body["sessions"]}

        impatient = [asyncio.create_task(ask()) for _ in range(3)]
        patient = [asyncio.create_task(ask()) for _ in range(20)]
        await control.until(lambda: simulator.ledger.requests("update_session.list"))
        for each in impatient:  # a caller that goes away does not end it for the others
            each.cancel()
        await asyncio.wait(impatient)
        assert await asyncio.gather(*patient) == [opened] * 20
        lists = simulator.ledger.requests("update_session.list")
        assert len(lists) < 20
        for sooner, later in pairwise(lists):
            assert sooner.finished is not None
            assert later.time >= sooner.finished


async def test_lists_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are being sent, renewals wait for one slice at most."""
    monkeypatch.setattr(streams, "_SLICE", 5)
    turn = 0
    made: Counter[int] = Counter()
    text = streams._text

    def counted(*arguments: Any) -> bytes | None:
        made[turn] += 1
        return text(*arguments)

    async def renew() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(streams, "_text", counted)
    async with running_control(tmp_path) as control:
        async with caller(control) as me:
            for _ in range(20):
                await me.put(f"/v1/sessions/lab/{control.open()}", NO_OWNER)

        async def ask(path: str) -> int:
            async with caller(control) as me:
                return len((await me.get(path)).body["sessions"])

        renewing = asyncio.create_task(renew())
        paths = ["/v1/sessions", "/v1/vcenters/-/sessions"] * 5
        assert await asyncio.gather(*map(ask, paths)) == [20] * 10
        renewing.cancel()
    assert sum(made.values()) == 200
    assert max(made.values()) == 5
