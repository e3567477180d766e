"""The listener as Prometheus and a probe meet it: over HTTP, read with Prometheus's own parser."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from keepalived.keeper.snapshot import Snapshot, VCenterView
from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.model import FINAL_STATES, Kind, SessionKey, State
from keepalived.lease.session import Session
from keepalived.observe.binding import ListenError, bind
from keepalived.observe.health import Health
from keepalived.observe.http import HttpListener
from keepalived.observe.metrics import Metrics
from tests.support.sessions import Still, a_session
from tests.support.timeouts import TIMEOUT_SECONDS

UPLOAD = SessionKey("lab", Kind.UPDATE, "815994e5:9c7e16e9")
BOOT, WALL = 5000.0, 1_700_000_000.0


@dataclass
class HandClock:
    """A clock whose hands are turned by the test."""

    boot_time: float = BOOT
    wall_time: float = WALL

    def boot(self) -> float:
        return self.boot_time

    def wall(self) -> float:
        return self.wall_time


def view(key: SessionKey, state: State, deadline: float | None) -> Session:
    return a_session(
        key,
        state,
        deadline=deadline,
        progress=40,
        transferred_bytes=123_456_789,
        library="Templates",
        item="debian-12",
    )


SNAPSHOT = Snapshot(
    now=BOOT,
    sessions=(
        view(UPLOAD, State.ACTIVE, BOOT + 150),
        view(UPLOAD._replace(id="late"), State.ACTIVE, BOOT + 60),
        view(UPLOAD._replace(id="overdue"), State.ACTIVE, BOOT - 5),
        view(UPLOAD._replace(id="gone"), State.EXPIRED, None),
        view(SessionKey("prod", Kind.DOWNLOAD, "d"), State.PENDING, None),
    ),
    vcenters=(
        VCenterView("lab", up=True, in_flight=3, utilization=0.375),
        VCenterView("prod", up=False, in_flight=0, utilization=0.0),
    ),
)


@dataclass
class Daemon:
    """What stands behind a listener in these tests, for the tests to change."""

    url: str = ""
    engine: Still = field(default_factory=lambda: Still(SNAPSHOT))
    tick_ages: dict[str, float] = field(default_factory=lambda: {"lab": 1.0})
    metrics: Metrics = field(
        default_factory=lambda: Metrics(version="1.2.3", max_sessions=100, clock=HandClock())
    )

    def __post_init__(self) -> None:
        for vcenter in ("lab", "prod"):
            self.metrics.notify(events.VCenterAdded(vcenter))
        self.health = Health(lambda: self.tick_ages, ["the session files", "the sockets"])

    async def listener(self, listen: str) -> HttpListener:
        return HttpListener(
            await bind(listen),
            metrics=self.metrics,
            engine=self.engine,
            health=self.health,
            clock=HandClock(),
        )


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    listener = await daemon.listener("127.0.0.1:0")
    host, port = await listener.start()
    daemon.url = f"http://{host}:{port}"
    yield daemon
    await listener.stop()


@pytest.fixture
async def http(daemon: Daemon) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(daemon.url) as session:
        yield session


async def scrape(http: aiohttp.ClientSession) -> dict[str, Metric]:
    async with http.get("/metrics", headers={"Accept": "text/plain"}) as response:
        assert response.status == 200
        text = await response.text()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, suffix: str = "") -> dict[tuple[str, ...], float]:
    """Return the family's samples by their label values, in the order of the label names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for sample in family.samples
        if sample.name == family.name + suffix
    }


async def test_the_build_names_its_version(http: aiohttp.ClientSession) -> None:
    family = (await scrape(http))["clkeepalived_build_info"]

    assert family.samples[0].labels["version"] == "1.2.3"
    assert family.samples[0].value == 1


async def test_aggregates_of_sessions(http: aiohttp.ClientSession) -> None:
    families = await scrape(http)

    sessions = values(families["clkeepalived_sessions"])
    assert {labels: count for labels, count in sessions.items() if count} == {
        ("ACTIVE", "lab"): 3,
        ("EXPIRED", "lab"): 1,
        ("PENDING", "prod"): 1,
    }
    assert len(sessions) == 2 * len(State)
    assert values(families["clkeepalived_sessions_at_risk"]) == {("lab",): 2, ("prod",): 0}
    assert values(families["clkeepalived_sessions_overdue"]) == {("lab",): 1, ("prod",): 0}
    assert values(families["clkeepalived_min_slack_seconds"]) == {("lab",): -5}


async def test_series_of_single_sessions(http: aiohttp.ClientSession) -> None:
    families = await scrape(http)

    # Label values come in the order of the label names.
    assert values(families["clkeepalived_session_state"]) == {
        ("update", "815994e5:9c7e16e9", "ACTIVE", "lab"): 1,
        ("update", "late", "ACTIVE", "lab"): 1,
        ("update", "overdue", "ACTIVE", "lab"): 1,
        ("update", "gone", "EXPIRED", "lab"): 1,
        ("download", "d", "PENDING", "prod"): 1,
    }
    info = families["clkeepalived_session_info"].samples
    assert {
        "vcenter": "lab",
        "session_id": "815994e5:9c7e16e9",
        "kind": "update",
        "library": "Templates",
        "item": "debian-12",
        "source": "file",
    } in [sample.labels for sample in info]
    assert {sample.value for sample in info} == {1}
    assert values(families["clkeepalived_session_deadline_timestamp_seconds"]) == {
        ("815994e5:9c7e16e9", "lab"): WALL + 150,
        ("late", "lab"): WALL + 60,
        ("overdue", "lab"): WALL - 5,
    }
    session = ("815994e5:9c7e16e9", "lab")
    assert values(families["clkeepalived_session_lifetime_seconds"])[session] == 300
    assert values(families["clkeepalived_session_client_progress_ratio"])[session] == 0.4
    assert values(families["clkeepalived_session_transferred_bytes"])[session] == 123_456_789


async def test_series_of_vcenters(http: aiohttp.ClientSession) -> None:
    families = await scrape(http)

    assert values(families["clkeepalived_vcenter_up"]) == {("lab",): 1, ("prod",): 0}
    assert values(families["clkeepalived_in_flight"]) == {("lab",): 3, ("prod",): 0}
    assert values(families["clkeepalived_utilization_ratio"]) == {("lab",): 0.375, ("prod",): 0}


async def test_counters_start_at_zero_and_count(
    daemon: Daemon, http: aiohttp.ClientSession
) -> None:
    before = await scrape(http)
    for name, size in (
        ("clkeepalived_sessions_ended", len(FINAL_STATES)),
        ("clkeepalived_keep_alives", len(Outcome)),
        ("clkeepalived_logins", 3),
    ):
        counts = values(before[name], "_total")
        assert len(counts) == 2 * size, name
        assert set(counts.values()) == {0}, name

    daemon.metrics.notify(
        events.SessionEnd(UPLOAD, State.EXPIRED, "gone", None, 400.0, 2, None, None, None, None)
    )
    daemon.metrics.notify(events.KeepAliveAnswered(UPLOAD, Outcome.UNAVAILABLE, 0.25))
    daemon.metrics.notify(events.LoginTried("prod", "refused"))
    daemon.metrics.notify(events.SourceFailed("a.yaml", ("a.yaml:1: broken",)))

    after = await scrape(http)
    assert values(after["clkeepalived_sessions_ended"], "_total")["EXPIRED", "lab"] == 1
    assert values(after["clkeepalived_keep_alives"], "_total")["unavailable", "lab"] == 1
    assert values(after["clkeepalived_logins"], "_total")["refused", "prod"] == 1
    assert values(after["clkeepalived_source_errors"], "_total") == {("a.yaml",): 1}


async def test_histograms(daemon: Daemon, http: aiohttp.ClientSession) -> None:
    daemon.metrics.notify(events.AttemptStarted("lab", 0.002))
    daemon.metrics.notify(events.KeepAliveAnswered(UPLOAD, Outcome.OK, 0.02))
    daemon.metrics.notify(events.Renewed(UPLOAD, False, 149.0, 10))

    families = await scrape(http)
    for name, observed, bound_below, bound_above in (
        ("clkeepalived_keep_alive_duration_seconds", 0.02, "0.01", "0.025"),
        ("clkeepalived_renewal_slack_seconds", 149.0, "120.0", "150.0"),
        ("clkeepalived_schedule_lag_seconds", 0.002, "0.001", "0.005"),
    ):
        family = families[name]
        assert family.type == "histogram"
        assert values(family, "_count") == {(): 1}
        assert values(family, "_sum") == {(): observed}
        buckets = values(family, "_bucket")
        assert (buckets[bound_below,], buckets[bound_above,], buckets["+Inf",]) == (0, 1, 1)


async def test_the_configurations_fate_and_the_process(
    daemon: Daemon, http: aiohttp.ClientSession
) -> None:
    daemon.metrics.configuration_read(successful=True)

    families = await scrape(http)
    assert values(families["clkeepalived_config_last_reload_successful"]) == {(): 1}
    assert values(families["clkeepalived_config_last_reload_success_timestamp_seconds"]) == {
        (): WALL
    }
    assert values(families["process_resident_memory_bytes"])[()] > 1_000_000
    assert values(families["process_open_fds"])[()] > 3
    assert "python_info" in families
    assert "python_gc_collections" in families


async def test_a_scrape_shows_the_state_of_that_moment(
    daemon: Daemon, http: aiohttp.ClientSession
) -> None:
    await scrape(http)
    daemon.engine.state = replace(SNAPSHOT, sessions=SNAPSHOT.sessions[:1])

    families = await scrape(http)
    assert len(families["clkeepalived_session_state"].samples) == 1


async def test_openmetrics_and_gzip_are_negotiated(http: aiohttp.ClientSession) -> None:
    headers = {
        "Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        "Accept-Encoding": "gzip",
    }
    async with http.get("/metrics", headers=headers) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.content_type == "application/openmetrics-text"
        parsed = openmetrics_families(await response.text())  # type: ignore[no-untyped-call]  # bare
        families = {family.name: family for family in parsed}
    assert values(families["clkeepalived_vcenter_up"]) == {("lab",): 1, ("prod",): 0}

    async with http.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert response.content_type == "text/plain"


class Gate(Collector):
    """A collector that holds every scrape until the gate is opened, and counts who is inside."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.entered = 0
        self.most_inside = 0
        self._inside = 0

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        self.entered += 1
        self._inside += 1
        self.most_inside = max(self.most_inside, self._inside)
        self.reached.set()
        assert self.opened.wait(timeout=TIMEOUT_SECONDS)
        self._inside -= 1
        return ()


async def test_a_long_scrape_holds_up_neither_the_loop_nor_lets_a_second_one_in(
    daemon: Daemon, http: aiohttp.ClientSession
) -> None:
    gate = Gate()
    daemon.metrics.registry.register(gate)

    scrapes = [asyncio.create_task(scrape(http)) for _ in range(3)]
    assert await asyncio.to_thread(gate.reached.wait, TIMEOUT_SECONDS)
    for _ in range(5):  # by then the other two have long arrived
        async with http.get("/healthz") as response:
            assert response.status == 200
    gate.opened.set()
    await asyncio.gather(*scrapes)

    assert gate.entered == 3
    assert gate.most_inside == 1


async def test_healthz_tells_a_stuck_scheduler(daemon: Daemon, http: aiohttp.ClientSession) -> None:
    async with http.get("/healthz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")
    daemon.tick_ages = {"lab": 42.4, "prod": 2.0}
    async with http.get("/healthz") as response:
        assert response.status == 503
        assert await response.text() == "the scheduler of lab has not ticked for 42 s\n"


async def test_readyz_names_what_is_missing(daemon: Daemon, http: aiohttp.ClientSession) -> None:
    async with http.get("/readyz") as response:
        assert response.status == 503
        assert await response.text() == "waiting for the session files\nwaiting for the sockets\n"
    daemon.health.done("the session files")
    daemon.health.done("the sockets")
    async with http.get("/readyz") as response:
        assert (response.status, await response.text()) == (200, "ready\n")


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
async def test_head_answers_without_a_body(http: aiohttp.ClientSession, path: str) -> None:
    async with http.head(path) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 0
        assert await response.read() == b""


NO_NAMES = """
GET / 200
GET /no-such-page 404
GET /metrics/ 404
POST /metrics 405
GET /healthz 200
GET /metrics 200
"""


@pytest.mark.parametrize("asked", NO_NAMES.strip().splitlines())
async def test_no_answer_names_the_server_software(http: aiohttp.ClientSession, asked: str) -> None:
    method, path, status = asked.split()
    async with http.request(method, path) as response:
        assert response.status == int(status)
        assert "Server" not in response.headers


async def test_a_taken_address_is_named_in_the_error(daemon: Daemon) -> None:
    taken = daemon.url.removeprefix("http://")
    with pytest.raises(ListenError) as caught:
        await bind(taken)

    assert str(caught.value) == (
        f"cannot listen on {taken}: Address already in use; choose another http.listen"
    )


@pytest.mark.parametrize("listen", ["192.0.2.1:9878", "no-such-host.invalid:9878"])
async def test_an_address_that_is_not_ours_is_named_in_the_error(listen: str) -> None:
    with pytest.raises(ListenError, match=rf"^cannot listen on {listen}: .+"):
        await bind(listen)


async def test_stopping_frees_the_address_and_may_be_repeated() -> None:
    listener = await Daemon().listener("127.0.0.1:0")
    address = await listener.start()
    await listener.stop()
    await listener.stop()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    again = await Daemon().listener(f"127.0.0.1:{address[1]}")
    assert await again.start() == address
    await again.stop()


@pytest.mark.parametrize(
    ("listen", "host"), [("localhost:0", "localhost"), (":0", "127.0.0.1"), ("[::1]:0", "[::1]")]
)
async def test_names_every_address_and_ipv6_can_be_listened_on(listen: str, host: str) -> None:
    if host == "[::1]" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback address")
    listener = await Daemon().listener(listen)
    _, port = await listener.start()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{host}:{port}/healthz") as response,
    ):
        assert response.status == 200
    await listener.stop()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
