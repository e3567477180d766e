"""What every test stands on: an environment that says nothing about this machine."""

from __future__ import annotations

import asyncio
import asyncio
import os
from collections.abc import Iterator

import pytest

# What the program reads from its surroundings: a test sets what it means to test.
_PREFIXES = ("CLKEEPALIVED_", "GOVC_", "GOVMOMI_")
_NAMES = {
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    # Where a TLS client looks for the system's certificates.
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    # What systemd tells its services.
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    # What changes how words are laid out on a terminal.
    "COLUMNS",
    "FORCE_COLOR",
    "NO_COLOR",
}


def pytest_configure() -> None:
    """Keep looptime from making an event loop in tests that have none, which nobody would close."""
    asyncio.set_event_loop(None)


@pytest.fixture(autouse=True, scope="session")
def _bare_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper() in _NAMES or name.startswith(_PREFIXES):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_stray_event_loop() -> None:
    # looptime asks every test, also those that are not async, for the current event loop; until
    # one was ever set, Python answers by making one, which then nobody closes.
    asyncio.set_event_loop(None)
