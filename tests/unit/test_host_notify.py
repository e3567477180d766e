"""Messages to systemd, read from a real datagram socket."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived.host.notify import Notifier, notifier
from tests.support.supervisor import Supervisor, supervising


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with supervising(tmp_path) as listening:
        yield listening


def test_each_state_is_one_message_of_lines(supervisor: Supervisor) -> None:
    said = Notifier(supervisor.address)
    said.ready("12 sessions")
    said.status("11\nsessions")
    said.alive()
    said.stopping("drains")
    assert supervisor.read() == [
        {"READY": "1", "STATUS": "12 sessions"},
        {"STATUS": "11 sessions"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1", "STATUS": "drains"},
    ]


def test_a_reload_tells_when_it_began(supervisor: Supervisor) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(supervisor.address).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (message,) = supervisor.read()
    assert message["RELOADING"] == "1"
    assert before <= int(message["MONOTONIC_USEC"]) <= after


def test_an_abstract_address_starts_with_an_at_sign() -> None:
    address = f"@clkeepalived-test-{os.getpid()}"
    supervisor = Supervisor(address)
    try:
        Notifier(address).alive()
        assert supervisor.said("WATCHDOG") == 1
    finally:
        supervisor.close()


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "relative/path"])
def test_nobody_is_told_where_nobody_listens(address: str | None) -> None:
    said = Notifier(address)
    said.ready("well")
    said.alive()


def test_a_supervisor_that_went_away_or_is_full_holds_nothing_up(tmp_path: Path) -> None:
    gone = Notifier(str(tmp_path / "nobody"))
    gone.alive()
    with supervising(tmp_path) as supervisor:
        said = Notifier(supervisor.address)
        for _ in range(2000):  # far more than the queue of a Unix datagram socket
            said.alive()
        assert 0 < supervisor.said("WATCHDOG") < 2000


def test_the_environment_is_read_once_and_kept_from_children(supervisor: Supervisor) -> None:
    environ = {
        "NOTIFY_SOCKET": supervisor.address,
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    said = notifier(environ)
    assert said.watchdog == 30.0
    said.alive()
    assert supervisor.said("WATCHDOG") == 1
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("told", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_counts_only_if_it_waits_for_us(
    told: dict[str, str], watchdog: float | None
) -> None:
    assert notifier(dict(told)).watchdog == watchdog


def test_no_descriptor_is_left_open(supervisor: Supervisor) -> None:
    before = len(os.listdir("/proc/self/fd"))
    said = Notifier(supervisor.address)
    for _ in range(5):
        said.alive()
    assert len(os.listdir("/proc/self/fd")) == before
