"""A real Prometheus scrapes a real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve as serve_simulator
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.programs import needs
from tests.system.prometheus_server import prometheus

pytestmark = [needs("prometheus"), pytest.mark.timeout(60)]


async def test_a_held_session_is_seen_with_its_item_and_its_slack(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=20)
    session = simulator.open_session()
    config = tmp_path / "config.yaml"
    async with serve_simulator(simulator) as url:
        config.write_text(
            "vcenters:\n"
            f"  lab: {{url: '{url}', username: '{simulator.username}',\n"
            f"        password_env: {PASSWORD_VARIABLE}, session_timeout: 20}}\n"
            f"sessions: [{{id: '{session}'}}]\n"
            "http: {listen: '127.0.0.1:0'}\n"
        )
        async with serving(config, simulator.password) as daemon:
            address = (await daemon.event("ready"))["listen"]
            async with prometheus(tmp_path, address) as server:
                await server.scraped()
                (slack,) = await server.wait_until(
                    lambda: server.query(
                        "(clkeepalived_session_deadline_timestamp_seconds - time())"
                        " * on (vcenter, session_id) group_left (item) clkeepalived_session_info"
                    ),
                    what="the session's slack",
                )
                assert 0 < slack.value <= 20
                assert slack.labels["item"]
                assert not await server.alerts()
