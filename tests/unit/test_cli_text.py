"""What the command line says, and what it understands."""

from __future__ import annotations

from typing import Any

import pytest

from keepalived.cli import text
from keepalived.cli.progress import read_value
from keepalived.cli.socket_client import RequestRefused, session_path
from keepalived.lease.text import size


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (252, "4m12s"),
        (3600, "1h00m"),
        (7 * 86400 + 3600, "7d01h"),
        (-12.5, "-12s"),
    ],
)
def test_durations_are_brief(seconds: float, expected: str) -> None:
    assert text.brief(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_have_the_unit_that_suits_them(count: int, expected: str) -> None:
    assert size(count) == expected


def test_nothing_that_others_wrote_steers_a_terminal() -> None:
    hostile = "x\x1b[2Jy\x9b1mz\nü\u202e"
    shown = text.printable(hostile)
    assert shown.isprintable()
    assert "x" in shown
    assert "ü" in shown
    events: list[dict[str, Any]] = [
        {"event": "renewal_failed", "detail": hostile, "outcome": "failed", "retry_in": 1.0},
        {"event": "session_ended", "state": "ERROR", "error_message": hostile, "reason": hostile},
        {"event": "file_failed", "file": hostile, "error_message": hostile},
        {"event": "vcenter_down", "detail": hostile},
        {"event": "token_refused", "owner": hostile, "fallback": True},
        {"event": "login", "outcome": hostile},
        {"event": "source_failed", "count": 2, "source": hostile},
        {"event": "hold_taken", "uid": 2**31, "owner": hostile},
        {"event": hostile},
    ]
    assert all(text.event(each).isprintable() for each in events)
    file = {"name": hostile, "status": hostile, "source_type": hostile, "error_message": hostile}
    assert text.file({**file, "bytes_transferred": 1, "size": None}).isprintable()
    assert RequestRefused(
        {"title": hostile, "detail": hostile, "candidates": [hostile]}
    ).message.isprintable()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"event": "renewed", "first": True, "slack": None}, "renewed for the first time"),
        (
            {"event": "renewed", "first": False, "slack": 140.2, "progress": 30},
            "renewed with 2m20s left (30 %)",
        ),
        (
            {"event": "renewal_failed", "outcome": "timed_out", "retry_in": 4, "slack": -3.0},
            "not renewed: timed_out; next attempt in 4s; overdue by 3s",
        ),
        (
            {"event": "session_ended", "state": "DONE", "reason": "done", "content_moved": True},
            "ended: DONE; done; the content arrived",
        ),
        (
            {"event": "session_ended", "state": "EXPIRED", "content_moved": False},
            "ended: EXPIRED; no content arrived",
        ),
        ({"event": "session_stalled", "idle": 2460.0}, "no bytes for 41m00s"),
        ({"event": "session_moving"}, "bytes are moving again"),
        (
            {"event": "token_refused", "owner": "ttl", "fallback": True},
            "the lent API token was refused: lend a new one with `clkeepalived progress ID "
            "--token-file FILE`; renewed with other credentials until then",
        ),
        (
            {"event": "token_refused", "owner": "ttl", "fallback": False},
            "the lent API token was refused: lend a new one with `clkeepalived progress ID "
            "--token-file FILE`; not renewed",
        ),
        ({"event": "events_lost", "count": 1}, "1 event missed: this reader is too slow"),
        ({"event": "something_new"}, "something new"),
    ],
)
def test_events_in_words(said: dict[str, Any], expected: str) -> None:
    assert text.event(said) == expected


def test_a_file_is_told_by_its_state() -> None:
    file: dict[str, Any] = {"name": "disk.vmdk", "source_type": "PUSH", "status": "TRANSFERRING"}
    file |= {"bytes_transferred": 3 << 20, "size": None, "error_message": None}
    failed = {"status": "ERROR", "source_type": "PULL", "error_message": "SSL\nerror"}
    assert text.file(file) == "disk.vmdk: TRANSFERRING, 3.0 MiB"
    assert text.file({**file, "status": "READY", "size": 4 << 20}) == (
        "disk.vmdk: READY, 3.0 MiB of 4.0 MiB"
    )
    assert text.file({**file, **failed}) == "disk.vmdk: ERROR, PULL, 3.0 MiB, SSL\ufffderror"


@pytest.mark.parametrize(
    ("owner", "state", "expected"),
    [
        ("none", None, ""),
        ("none", "lent", "API token lent"),
        (
            "ttl:120",
            "refused",
            "its API token was refused: lend a new one with `clkeepalived progress ID "
            "--token-file FILE`",
        ),
        (
            "file:/etc/x.yaml",
            "refused",
            "its API token was refused: write a new one to its token_file",
        ),
    ],
)
def test_how_a_token_stands(owner: str, state: str | None, expected: str) -> None:
    assert text.token({"owner": owner, "token": state}) == expected


def test_owners_in_words() -> None:
    assert text.owner("discovery") == "discovered, while its transfer moves"


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("42", {"progress": 42}),
        (" 42.7% ", {"progress": 42}),
        ("100", {"progress": 100}),
        ("101", None),
        ("5/10", {"bytes_done": 5, "bytes_total": 10}),
        ("0/0", {"bytes_done": 0, "bytes_total": 0}),
        ("11/10", None),
        ("-1", None),
        ("1e1", None),
        ("", None),
        ("٤٢", None),
    ],
)
def test_progress_is_understood(text: str, body: dict[str, int] | None) -> None:
    assert read_value(text) == body


def test_problems_speak_of_options_and_have_their_exit_codes() -> None:
    def refused(kind: str, *candidates: str) -> RequestRefused:
        return RequestRefused(
            {
                "type": f"urn:clkeepalived:problem:{kind}",
                "title": "Title",
                "detail": "as the API says it",
                "candidates": candidates,
            }
        )

    assert refused("no-such-hold").message == "Title: as the API says it"
    assert refused("no-such-session").message.startswith("Title: check ID, --vcenter and --kind")
    assert (
        refused("ambiguous-vcenter", "a", "b").message == "Title: choose one with --vcenter: a, b"
    )
    assert refused("ambiguous-hold", "none").message == "Title: choose one with --owner: none"
    codes = {
        kind: refused(kind).exit_code for kind in ("malformed-request", "contradiction", "full")
    }
    assert codes == {"malformed-request": 2, "contradiction": 2, "full": 1}


def test_names_stay_in_their_part_of_a_path() -> None:
    assert session_path("-", "a:b") == "/v1/sessions/-/a:b"
    assert session_path("a/../b?c#d", "x") == "/v1/sessions/a%2F..%2Fb%3Fc%23d/x"
