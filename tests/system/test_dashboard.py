"""What the Grafana dashboard asks, asked of a real Prometheus that scrapes a real daemon."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from tests.integration.simulator_support import uploader_at
from tests.support import dashboard
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.dashboard import Query
from tests.support.programs import needs
from tests.system.prometheus_server import JOB, PrometheusServer, prometheus

pytestmark = [needs("prometheus"), pytest.mark.timeout(900)]

RULES = Path(__file__).parents[2] / "config/prometheus/clkeepalived.rules.yml"
LIFETIME = 15.0
SHOWN = 10.0
"""Seconds of the past that a graph shows."""

DASHBOARD = dashboard.load()
QUERIES = list(dashboard.queries(DASHBOARD))


async def has_data(server: PrometheusServer, query: Query, values: Mapping[str, str]) -> bool:
    """Whether a panel would have something to draw: a number, be it zero, and not "no number"."""
    expression = query.filled(values)
    if query.instant:
        found = [await server.query(expression)]
    else:
        found = await server.query_range(expression, seconds=SHOWN, step=1.0)
    return any(not math.isnan(sample.value) for series in found for sample in series)


async def unanswered(
    server: PrometheusServer,
    queries: Iterable[Query],
    values: Mapping[str, str],
    seconds: float = 0.0,
) -> list[str]:
    """Return the queries that have no answer, asking again for as long as that."""
    missing, deadline = list(queries), time.monotonic() + seconds
    while True:
        missing = [query for query in missing if not await has_data(server, query, values)]
        if not missing or time.monotonic() > deadline:
            return [query.asked_by for query in missing]
        await asyncio.sleep(0.2)


async def choices(server: PrometheusServer) -> dict[str, str]:
    """Fill the variables by their queries as Grafana does where "All" is chosen."""
    values = {"__rate_interval": "4s", "__range": "1m"}
    for variable in dashboard.variables(DASHBOARD):
        selector = dashboard.fill(variable.selector, values)
        found = await server.label_values(variable.label, selector)
        assert found, variable
        values[variable.variable] = f"({'|'.join(found)})"
    return values


async def names(server: PrometheusServer, asked_by: str, values: Mapping[str, str]) -> set[str]:
    """Return the sessions that a query names."""
    query = next(each for each in QUERIES if each.asked_by == asked_by)
    return {sample.labels["name"] for sample in await server.query(query.filled(values))}


async def test_every_query_is_answered_and_a_broken_one_is_found_out(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=LIFETIME)
    library = simulator.library
    config, sessions, broken = (tmp_path / f"{each}.yaml" for each in ("config", "good", "broken"))
    sessions.write_text("sessions: []\n")
    broken.write_text("sessions: [{id: no id at all}]\n")
    async with uploader_at(simulator) as uploader:
        config.write_text(
            "vcenters:\n"
            f"  lab: {{url: '{uploader.url}', username: '{simulator.username}',\n"
            f"        password_env: {PASSWORD_VARIABLE}, session_timeout: {LIFETIME}}}\n"
            f"session_files: ['{sessions}', '{broken}']\n"
            "http: {listen: '127.0.0.1:0'}\n"
        )
        rules = tmp_path / "clkeepalived.rules.yml"
        rules.write_text(RULES.read_text().replace("interval: 10s", "interval: 500ms"))
        async with serving(config, simulator.password) as daemon:
            address = (await daemon.event("ready"))["listen"]
            ids = {
                name: library.open_session(simulator.username, item_name=name).id
                for name in ("uploading", "idle", "failing")
            }
            uri = await uploader.add_file(ids["uploading"], size=2_000_000)
            async with uploader.http.put(uri, data=bytes(1_000_000)):
                pass
            sessions.write_text(
                "sessions:\n"
                + "".join(f"- {{id: '{each}', progress: 10}}\n" for each in ids.values())
            )
            for each in ids.values():
                await daemon.event("first_renewal", session_id=each)
            async with prometheus(tmp_path, address, rules=[rules], interval="1s") as server:
                await server.scraped()
                library.sessions.fail(Kind.UPDATE, ids["failing"], "checksum mismatch")
                await daemon.event("session_ended", session_id=ids["failing"])

                everything = await choices(server)
                assert everything["job"] == f"({JOB})"
                assert await unanswered(server, QUERIES, everything, seconds=20) == []
                one = {**everything, "job": JOB, "vcenter": "lab"}
                assert await unanswered(server, QUERIES, one) == []

                # Nothing is answered by itself: not for another job, and not under another name.
                elsewhere = {**everything, "job": "another"}
                of_jobs = [each for each in QUERIES if "job" in each.variables]
                assert len(await unanswered(server, of_jobs, elsewhere)) == len(of_jobs)
                misspelt = [
                    replace(
                        each, expression=each.expression.replace("clkeepalived_", "clkeepalive_")
                    )
                    for each in QUERIES
                    if "clkeepalived_" in each.expression
                ]
                assert await unanswered(server, misspelt, everything) == [
                    each.asked_by for each in misspelt
                ]

                assert await names(server, "Most endangered sessions A", everything) == {
                    "library/uploading",
                    "library/idle",
                }
                assert await names(server, "Lost sessions A", everything) == {"library/failing"}
