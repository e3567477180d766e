"""Common setup of all tests: an environment that does not depend on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from blockbuster import blockbuster_ctx

from tests.support.examples import load_profile

# Environment variables that the program reads; each test sets those that it needs.
_PREFIXES = ("CLKEEPALIVED_", "GOVC_", "GOVMOMI_")
_NAMES = {
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    # Where TLS clients find the system's certificates.
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    # Variables that systemd sets for services.
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    # Variables that affect the layout of terminal output.
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
}

# Signals that `nohup` and a shell's `&` make their commands ignore.
_MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)

# Where the event loop may block: calls made once and early, or that never wait.
_MAY_BLOCK = {
    "/coverage/collector.py": {"lock_data"},  # under `make coverage`
    "/linecache.py": {"checkcache", "updatecache"},  # the source lines of a traceback
    "/rich/traceback.py": {"_render_stack"},  # likewise
    "keepalived/control/server.py": {"__init__"},  # the installed version, at the start
    "keepalived/daemon.py": {"__init__"},  # likewise
    "keepalived/embedded/loop_thread.py": {"join"},  # a thread that has already ended
    "keepalived/host/clock.py": {"boot_id"},  # /proc is the kernel's memory
    "keepalived/host/journal.py": {"_send"},  # a moment, and only while journald is behind
    "keepalived/host/processes.py": {"_read"},  # /proc again
    "keepalived/host/sockets.py": {
        "listen_unix",
        "bind_again",
        "close",
    },  # a few directory entries, once
    "keepalived/vcenter/secrets.py": {"_read"},  # a few bytes, when they have changed
    "keepalived/wrapper/command.py": {"check", "spawn"},  # once, with nothing to wait for yet
}

# All tests in these folders have the marker. If `-m` excludes it, they are not even imported, which
# would take every worker seconds.
_TESTS = Path(__file__).parent
_CONTROL_SCHEMA = _TESTS / "integration/test_control_schema.py"
_DESELECTED = {_TESTS / "system": "system", _CONTROL_SCHEMA: "extended"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not collect folders that `-m` deselects entirely."""
    marker = _DESELECTED.get(collection_path)
    if marker is not None and f"not {marker}" in config.option.markexpr:
        return True
    return None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> None:
    """Load the slow schemathesis plugin only for the file that needs it."""
    if file_path == _CONTROL_SCHEMA:
        parent.config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


# How often an idle loop polls for input before looptime moves its clock on. The default of 42 takes
# two thirds of the time of a test on the fake clock; within one process, input is ready at once.
_IDLE_ROUNDS = 4

load_profile()  # before any test module is imported: decorators take their defaults from it


def pytest_configure() -> None:
    """Keep looptime from creating an unclosed event loop in tests without one."""
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long tests first, and reduce the idle polls of the fake clock."""
    items.sort(key=lambda item: item.get_closest_marker("extended") is None)
    for item in items:
        if item.get_closest_marker("looptime") is not None:
            item.add_marker(pytest.mark.looptime(noop_cycles=_IDLE_ROUNDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Summarize skipped tests and the reasons in one line."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        parts = (f"{reason} ({count})" for reason, count in sorted(reasons.items()))
        terminalreporter.write_line(f"skipped: {'; '.join(parts)}")


@pytest.fixture(autouse=True, scope="session")
def _bare_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper() in _NAMES or name.startswith(_PREFIXES):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_signal_is_ignored() -> Iterator[None]:
    ignored = [each for each in _MAY_BE_IGNORED if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        python_s_own = each is signal.SIGINT
        signal.signal(each, signal.default_int_handler if python_s_own else signal.SIG_DFL)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


@pytest.fixture(autouse=True, scope="session")
def _no_logger_is_settled_for_good() -> Iterator[None]:
    """Make loggers look up their configuration again, so that a test's own ends with it."""
    configure = structlog.configure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            structlog,
            "configure",
            lambda **chosen: configure(**{**chosen, "cache_logger_on_first_use": False}),
        )
        yield


@pytest.fixture(autouse=True)
def _logging_starts_as_it_comes() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def _nothing_holds_up_the_loop() -> Iterator[None]:
    """Fail tests in which the package blocks the event loop: files, locks, sleeps, SQLite."""
    with blockbuster_ctx("keepalived") as guarded:
        for function in guarded.functions.values():
            for file, callers in _MAY_BLOCK.items():
                function.can_block_in(file, callers)
        yield
