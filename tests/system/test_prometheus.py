"""A real Prometheus scrapes a real daemon while things go wrong, and is asked what it would say.

Life is twenty times as fast as usual: sessions live for 15 s instead of 300, scrapes and rules take
their turn every 0.5 s instead of 10, and every duration in the rules is a twentieth of what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail, Refuse
from tests.integration.simulator_support import Uploader, uploader_at
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.programs import needs
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.system.prometheus_server import Alert, PrometheusServer, prometheus

pytestmark = needs("prometheus")

RULES = Path(__file__).parents[2] / "config/prometheus/clkeepalived.rules.yml"
FASTER = 20
LIFETIME = 300 / FASTER
STALL_TIMEOUT = 8.0
STEADY = tuple(f"steady{number}" for number in range(8))

_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000}
# A range or an offset, the `for` and the interval of a rule; and an age in bare seconds.
_DURATION = re.compile(r"(\[|offset |for: |interval: )(\d+)([smh])\b")
_AGE = re.compile(r"(process_start_time_seconds < )(\d+)")


def compressed(rules: str) -> str:
    """Return rules in which every duration is divided by FASTER; shares and counts stay."""
    rules = _DURATION.sub(
        lambda found: f"{found[1]}{int(found[2]) * _UNITS[found[3]] // FASTER}ms", rules
    )
    return _AGE.sub(lambda found: f"{found[1]}{int(found[2]) / FASTER}", rules)


class Story:
    """A vCenter with uploads, and a Prometheus that scrapes the daemon."""

    def __init__(self, simulator: Simulator, server: PrometheusServer) -> None:
        self.simulator = simulator
        self.server = server
        self.began = time.monotonic()

    async def fires(self, name: str, **labels: str) -> Alert:
        """Wait until an alert with these labels fires."""

        async def found() -> list[Alert]:
            return [
                alert
                for alert in await self.server.alerts()
                if alert.name == name
                and alert.state == "firing"
                and labels.items() <= alert.labels.items()
            ]

        alert = (
            await self.server.wait_until(found, seconds=TIMEOUT_SECONDS, what=f"{name} {labels}")
        )[0]
        left = await self.time_left(alert.labels.get("item", ""))
        self._tell(f"{name} fires: {alert.annotations['summary']} ({left:.1f} s left)")
        return alert

    async def is_over(self, name: str) -> None:
        async def gone() -> bool:
            return name not in await self.server.firing()

        await self.server.wait_until(gone, seconds=TIMEOUT_SECONDS, what=f"the end of {name}")
        self._tell(f"{name} is over")

    async def names_are_known(self, count: int) -> None:
        async def known() -> bool:
            return len(await self.server.query('clkeepalived_session_info{item!=""}')) == count

        await self.server.wait_until(known, seconds=TIMEOUT_SECONDS, what=f"{count} names")

    async def time_left(self, item: str) -> float:
        """Return the seconds that an item's session has left, by Prometheus and by the clock.

        Not a number for one that has ended.
        """
        found = await self.server.query(
            "clkeepalived_session_deadline_timestamp_seconds * on (session_id)"
            f' clkeepalived_session_info{{item="{item}"}}'
        )
        return found[0].value - time.time() if found else math.nan

    def _tell(self, what: str) -> None:
        print(f"{time.monotonic() - self.began:5.1f} s  {what}")


async def bytes_until(event: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield bytes until an event is set, and then neither more of them nor the end."""
    while not event.is_set():
        yield bytes(1000)
        await asyncio.sleep(0.2)
    await asyncio.Event().wait()


def write(config: Path, url: str, simulator: Simulator, sessions: Path) -> None:
    config.write_text(
        "vcenters:\n"
        f"  lab: {{url: '{url}', username: '{simulator.username}',\n"
        f"        password_env: {PASSWORD_VARIABLE}, session_timeout: {LIFETIME}}}\n"
        f"session_files: ['{sessions}']\n"
        f"stall_timeout: {STALL_TIMEOUT}\n"
        "http: {listen: '127.0.0.1:0'}\n"
        "log: {level: debug}\n"
    )


async def put(uploader: Uploader, uri: str, content: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(aiohttp.ClientError):  # the outage may end it
        async with uploader.http.put(uri, data=content):
            pass


async def test_what_should_fire_fires_and_nothing_else_does(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=LIFETIME)
    ids = {
        name: simulator.library.open_session(simulator.username, item_name=name).id
        for name in (*STEADY, "expiring", "failing", "stalling")
    }
    config, sessions = tmp_path / "config.yaml", tmp_path / "sessions.yaml"
    good = "sessions:\n" + "".join(f"- {{id: '{each}'}}\n" for each in ids.values())
    sessions.write_text(good)
    rules = tmp_path / "clkeepalived.rules.yml"
    rules.write_text(compressed(RULES.read_text()))
    still = asyncio.Event()

    async with uploader_at(simulator) as uploader, asyncio.TaskGroup() as tasks:
        uri = await uploader.add_file(ids["stalling"])
        push = tasks.create_task(put(uploader, uri, bytes_until(still)))
        write(config, uploader.url, simulator, sessions)
        async with serving(config, simulator.password) as daemon:
            address = (await daemon.event("ready"))["listen"]
            for each in ids.values():
                await daemon.event("first_renewal", session_id=each)
            async with prometheus(tmp_path, address, rules=[rules]) as server:
                story = Story(simulator, server)
                await server.scraped()
                assert not await server.alerts()

                # On a slow machine, what a session fills is learned at a later renewal.
                await story.names_are_known(len(ids))
                # Files are looked at after each renewal: bytes moved between the first two.
                await daemon.event("renewed", session_id=ids["stalling"])
                still.set()
                sessions.write_text(good + "- {id: no id at all}\n")
                refused = simulator.faults.add(
                    Fail(500), route="update_session.keep_alive", session_id=ids["expiring"]
                )
                # This one passes by itself: a session that is not renewed becomes overdue.
                await story.fires("ClkeepalivedSessionAtRisk", item="expiring")
                assert await story.time_left("expiring") > 0
                await story.fires("ClkeepalivedSourceBroken", source=str(sessions))

                sessions.write_text(good)
                await story.is_over("ClkeepalivedSourceBroken")
                simulator.library.sessions.fail(Kind.UPDATE, ids["failing"], "checksum mismatch")
                await story.fires("ClkeepalivedSessionLost", item="failing", state="ERROR")
                await story.fires("ClkeepalivedUploadStalled", item="stalling")
                await story.fires("ClkeepalivedSessionOverdue", item="expiring")

                outage = simulator.faults.add(Refuse())
                await story.fires("ClkeepalivedVCenterDown")
                endangered = await story.fires("ClkeepalivedSessionAtRisk")
                assert await story.time_left(endangered.labels["item"]) > 0
                simulator.faults.remove(refused)
                simulator.faults.remove(outage)
                await story.fires("ClkeepalivedSessionLost", item="expiring", state="EXPIRED")
                for name in ("VCenterDown", "SessionAtRisk", "SessionOverdue"):
                    await story.is_over(f"Clkeepalived{name}")

                # The outage may have cut the PUT that stood still, which is a movement, too.
                left = await server.firing() - {"ClkeepalivedUploadStalled"}
                assert left == {"ClkeepalivedSessionLost"}
                fired = {
                    (each.labels["alertname"], each.labels.get("item"))
                    for each in await server.query('max_over_time(ALERTS{alertstate="firing"}[5m])')
                }
                outage_victims = {
                    ("ClkeepalivedSessionAtRisk", name) for name in (*STEADY, "stalling")
                }
                assert fired - outage_victims == {
                    ("ClkeepalivedSourceBroken", None),
                    ("ClkeepalivedSessionAtRisk", "expiring"),
                    ("ClkeepalivedSessionLost", "failing"),
                    ("ClkeepalivedUploadStalled", "stalling"),
                    ("ClkeepalivedSessionOverdue", "expiring"),
                    ("ClkeepalivedVCenterDown", None),
                    ("ClkeepalivedSessionLost", "expiring"),
                }
        ended = {name for name, each in ids.items() if simulator.ledger.session(each).ended}
        assert ended == {"expiring", "failing"}
        push.cancel()
