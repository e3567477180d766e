"""Lines as they are written: formats, routing, levels, and no secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from keepalived.observe.logs import configure_logging

pytestmark = pytest.mark.usefixtures("untouched_root")


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def json_lines() -> io.StringIO:
    """Begin a log of lines of JSON, and return what it is written to."""
    stream = io.StringIO()
    configure_logging(format="json", level="info", stream=stream)
    return stream


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_one_object_a_line_led_by_time_level_and_event() -> None:
    stream = json_lines()
    log = structlog.get_logger("test").bind(vcenter="lab", session_id="a:b")

    log.info("session_renewed", words="two\nlines", state="ACTIVE")

    (event,) = events(stream)
    assert list(event) == [
        "timestamp",
        "level",
        "event",
        "vcenter",
        "session_id",
        "words",
        "state",
    ]
    assert event["event"] == "session_renewed"
    assert event["level"] == "info"
    assert event["words"] == "two\nlines"
    when = datetime.fromisoformat(event["timestamp"])
    assert when.tzinfo == UTC
    assert event["timestamp"].endswith("Z")


def test_auto_is_json_unless_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    pipe, terminal = io.StringIO(), Terminal()
    configure_logging(format="auto", level="info", stream=pipe)
    structlog.get_logger("test").info("piped")
    configure_logging(format="auto", level="info", stream=terminal)
    structlog.get_logger("test").info("watched", vcenter="lab")

    assert events(pipe)[0]["event"] == "piped"
    assert "watched" not in pipe.getvalue()
    assert "watched" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_console_has_no_colours_off_a_terminal_nor_when_unwanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe, terminal = io.StringIO(), Terminal()
    configure_logging(format="console", level="info", stream=pipe)
    structlog.get_logger("test").info("plain", vcenter="lab")
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging(format="console", level="info", stream=terminal)
    structlog.get_logger("test").info("plain", vcenter="lab")

    for stream in (pipe, terminal):
        assert "\x1b[" not in stream.getvalue()
        assert "vcenter=lab" in stream.getvalue()


def test_a_servers_words_cannot_steer_a_terminal_or_forge_a_line() -> None:
    terminal = Terminal()
    configure_logging(format="console", level="info", stream=terminal)
    evil = "\x1b[2J\x07gone\nforged line"
    try:
        raise ValueError(evil)
    except ValueError:
        structlog.get_logger("test").exception("failed", detail=evil)
    logging.getLogger("aiohttp.server").error("%s", evil)

    written = terminal.getvalue()
    assert "\x1b[2J" not in written
    assert "\x07" not in written
    assert "\\x1b[2J" in written
    event_lines = [line for line in written.splitlines() if "failed" in line or "aiohttp" in line]
    assert len(event_lines) == 2
    assert all("forged line" in line for line in event_lines)


def test_disabled_levels_write_nothing_and_a_new_level_reaches_old_loggers() -> None:
    stream = io.StringIO()
    configure_logging(format="json", level="warning", stream=stream)
    log = structlog.get_logger("test")
    log.info("quiet")
    log.warning("loud")
    configure_logging(format="json", level="debug", stream=stream)
    log.debug("chatty")

    assert [event["event"] for event in events(stream)] == ["loud", "chatty"]


def test_configuring_twice_writes_each_event_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(format="json", level="info", stream=first)
    configure_logging(format="json", level="info", stream=second)
    structlog.get_logger("test").info("once")

    assert events(first) == []
    assert len(events(second)) == 1


async def test_the_standard_librarys_loggers_use_the_same_renderer() -> None:
    stream = json_lines()
    loop = asyncio.get_running_loop()

    logging.getLogger("aiohttp.access").info("GET %s", "/metrics")
    loop.call_exception_handler({"message": "task failed", "exception": KeyError("k")})

    access, failure = events(stream)
    assert (access["event"], access["level"], access["logger"]) == (
        "GET /metrics",
        "info",
        "aiohttp.access",
    )
    assert failure["logger"] == "asyncio"
    assert failure["level"] == "error"
    assert "KeyError: 'k'" in failure["exception"]


def test_exceptions_are_rendered_into_the_line() -> None:
    stream = json_lines()
    try:
        raise RuntimeError("out of luck")
    except RuntimeError:
        structlog.get_logger("test").exception("task_failed", task="keeper lab")

    (event,) = events(stream)
    assert event["level"] == "error"
    assert event["exception"].startswith("Traceback")
    assert event["exception"].endswith("RuntimeError: out of luck")


def test_secrets_by_key_are_redacted_however_deep() -> None:
    stream = json_lines()
    context = {
        "password": "hunter2",
        "api_token": "hunter2",
        "session_id": "kept:id",
        "password_file": "/etc/kept",
        "secret": None,
        "headers": {
            "Authorization": "Basic hunter2",
            "vmware-api-session-id": "hunter2",
            "n": "k",
        },
        "tries": [{"Cookie": "hunter2"}, ("kept",)],
    }
    structlog.get_logger("test").info("request", **context)

    assert "hunter2" not in stream.getvalue()
    (event,) = events(stream)
    assert {key: event[key] for key in context} == {
        "password": "***",
        "api_token": "***",
        "session_id": "kept:id",
        "password_file": "/etc/kept",
        "secret": None,
        "headers": {"Authorization": "***", "vmware-api-session-id": "***", "n": "k"},
        "tries": [{"Cookie": "***"}, ["kept"]],
    }


@pytest.mark.parametrize(
    "text",
    [
        "sent vmware-api-session-id: hunter2 to it",
        "headers {'Vmware-Api-Session-Id': 'hunter2'}",
        "headers {'Authorization': 'Basic hunter2'}",
        "Authorization: Bearer hunter2",
        "password=hunter2, user=u",
        'secret = "hunter2 hunter2"',
        "cannot reach https://user@vsphere.local:hunter2@vcsa.example/api",
    ],
)
def test_secrets_in_running_text_are_redacted(text: str) -> None:
    stream = json_lines()
    logging.getLogger("aiohttp").error(text)
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger("test").exception("failed", detail=text)

    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 3


@pytest.mark.parametrize(
    "text",
    [
        "config.yaml:3: vcenters.lab.password: unknown key, did you mean password_file?",
        "token expired; mail admin@vsphere.local",
        "https://vcsa.lab.example/api/session",
    ],
)
def test_words_about_secrets_are_left_alone(text: str) -> None:
    stream = json_lines()
    structlog.get_logger("test").info("said", detail=text)

    assert events(stream)[0]["detail"] == text
