"""A real Alertmanager with the shipped routes: what is critical goes out at once, as one page."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.programs import needs, program

pytestmark = needs("prometheus-alertmanager")

SHIPPED = Path(__file__).parents[2] / "config/prometheus/alertmanager.yml"


@asynccontextmanager
async def pager() -> AsyncIterator[tuple[str, asyncio.Queue[dict[str, Any]]]]:
    """Serve a webhook; yield its address, and the pages that come in."""
    pages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        pages.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/page", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/page", pages
    finally:
        await runner.cleanup()


@asynccontextmanager
async def alertmanager(folder: Path, config: Path) -> AsyncIterator[str]:
    """Run Alertmanager until the block is left; yield its URL."""
    stored = f"--storage.path={folder / 'alertmanager'}"
    own = ("--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", "--log.format=json")
    command = ("prometheus-alertmanager", f"--config.file={config}", stored, *own)
    async with program(*command, stdout=None) as process:
        assert process.stderr is not None
        async for line in process.stderr:
            event = json.loads(line)
            if event.get("msg") == "Listening on":
                yield f"http://{event['address']}"
                break
        else:
            raise AssertionError("Alertmanager did not start")


def alert(name: str, severity: str, session: str) -> dict[str, Any]:
    labels = {"alertname": name, "severity": severity, "vcenter": "lab", "session_id": session}
    return {"labels": labels}


async def test_sessions_at_risk_are_one_page_at_once_and_a_warning_is_none(tmp_path: Path) -> None:
    async with pager() as (url, pages):
        config = tmp_path / "alertmanager.yml"
        shipped = SHIPPED.read_text()
        assert "http://127.0.0.1:8080/page" in shipped
        config.write_text(shipped.replace("http://127.0.0.1:8080/page", url))
        async with alertmanager(tmp_path, config) as api, aiohttp.ClientSession(api) as http:
            sent = [
                alert("ClkeepalivedUploadStalled", "warning", "s0"),
                *(alert("ClkeepalivedSessionAtRisk", "critical", f"s{n}") for n in range(50)),
            ]
            began = time.monotonic()
            async with http.post("/api/v2/alerts", json=sent) as answer:
                assert answer.status == 200
            async with asyncio.timeout(5):
                page = await pages.get()
            assert time.monotonic() - began < 2
            assert page["receiver"] == "on-call"
            assert page["commonLabels"]["alertname"] == "ClkeepalivedSessionAtRisk"
            assert pages.empty()
            print(
                f"{len(page['alerts'])} sessions in a page after {time.monotonic() - began:.2f} s"
            )
