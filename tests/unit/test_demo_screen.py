"""What the demonstration shows, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from keepalived.demo.play import LIFETIME, uploads
from keepalived.demo.screen import Life, Lines, Result, Screen, screen_for
from keepalived.demo.terminal import TerminalScreen
from keepalived.demo.uploads import DemoUpload, Scenario
from keepalived.demo.verdict import Fact, Summary
from keepalived.simulator.resources import SessionEvent

GOOD = Result(
    Summary("debian-12.ova", "clkeepalived", "3.8 lifetimes", "7.0 s", "complete, arrived"),
    [Fact("outlived its lifetime", True, "3.8 lifetimes (15.0 s) by 7 keep-alives")],
)
BAD = Result(
    Summary("debian-12 unkept", "none", "1.0 lifetimes", "7.0 s", "expired, lost"),
    [
        Fact("expired during a pause", True, "4.0 s into a pause of 7.0 s"),
        Fact("its upload failed", False, "it did not"),
    ],
)


def conclude(screen: Screen) -> None:
    screen.conclude([GOOD, BAD])


def test_lines_say_each_change_once(capsys: pytest.CaptureFixture[str]) -> None:
    kept, lost = (
        DemoUpload("kept", Scenario.KEPT, 10, 1, 1),
        DemoUpload("lost", Scenario.UNKEPT, 10, 1, 1),
    )
    lives = {"kept": Life(left=3.0), "lost": Life(left=3.0)}
    with Lines(lambda upload: lives[upload.name]) as screen:
        screen.show([kept, lost])
        kept.session_id = lost.session_id = "1"
        kept.doing = lost.doing = "checksumming"
        screen.show([kept, lost])
        screen.show([kept, lost])
        lives["lost"] = Life(ended=SessionEvent.EXPIRED)
        screen.show([kept, lost])
        lost.doing, lost.trouble = "failed", "HTTP 404"
        lives["kept"], kept.doing = Life(ended=SessionEvent.COMPLETED), "complete"
        screen.show([kept, lost])
    lines = [line.split(maxsplit=2)[2] for line in capsys.readouterr().out.splitlines()]
    assert [" ".join(line.split()) for line in lines] == [
        "kept checksumming",
        "lost checksumming",
        "lost expired on the server",
        "kept complete",
        "lost failed: HTTP 404",
    ]


def test_an_upload_that_could_not_even_begin_is_not_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Lines(lambda _: Life()) as screen:
        screen.show([DemoUpload("a", Scenario.KEPT, 1, 1, 1, doing="failed", trouble="HTTP 500")])
    assert "failed: HTTP 500" in capsys.readouterr().out


def test_lines_end_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(Lines(lambda _: Life()))
    assert capsys.readouterr().out == (
        "\n"
        "debian-12.ova\n"
        "  ok      outlived its lifetime   3.8 lifetimes (15.0 s) by 7 keep-alives\n"
        "\n"
        "debian-12 unkept\n"
        "  ok      expired during a pause  4.0 s into a pause of 7.0 s\n"
        "  FAILED  its upload failed       it did not\n"
        "\n"
        "upload            kept by       lived          paused  outcome\n"
        "debian-12.ova     clkeepalived  3.8 lifetimes  7.0 s   complete, arrived\n"
        "debian-12 unkept  none          1.0 lifetimes  7.0 s   expired, lost\n"
    )


def drawn(
    columns: int, *, colours: bool = False
) -> tuple[TerminalScreen, list[DemoUpload], io.StringIO]:
    planned = uploads()
    lives = {each.name: Life(left=2.5) for each in planned}
    lives["windows-2022.iso"] = Life(left=0.5)
    lives["debian-12 unkept"] = Life(ended=SessionEvent.EXPIRED)
    lives["database.ovf"] = Life(ended=SessionEvent.COMPLETED)
    lives["canceled.ova"] = Life()
    planned[0].sent = planned[0].size // 2
    planned[0].doing = "transferring"
    file = io.StringIO()
    console = Console(
        file=file,
        width=columns,
        height=40,
        force_terminal=True,
        color_system="standard" if colours else None,
        legacy_windows=False,
        _environ={},
    )
    return TerminalScreen(planned, lambda each: lives[each.name], LIFETIME, console), planned, file


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_every_upload_whole(columns: int) -> None:
    terminal, planned, file = drawn(columns)
    with terminal:
        terminal.show(planned)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "…" not in text
    lines = {line.split("  ")[0]: line.rstrip() for line in text.splitlines()}
    assert " ".join(lines["upload"].split()) == "upload kept by doing sent time left"
    assert set(lines) >= {each.name for each in planned}
    assert lines["debian-12.ova"].endswith(" 50 %  2.5 s")
    assert lines["debian-12 unkept"].endswith("  0 %  expired")
    assert lines["database.ovf"].endswith("  complete")
    assert lines["canceled.ova"].endswith("  -")
    assert max(map(len, lines.values())) <= columns


def test_what_runs_short_is_red() -> None:
    terminal, planned, file = drawn(80, colours=True)
    with terminal:
        terminal.show(planned)
    assert "\x1b[32m2.5 s" in file.getvalue()
    assert "\x1b[31m0.5 s" in file.getvalue()


def test_a_terminal_ends_with_two_tables() -> None:
    terminal, _, file = drawn(80)
    conclude(terminal)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert "ok      outlived its lifetime   3.8 lifetimes (15.0 s) by 7 keep-alives" in lines
    assert "FAILED  its upload failed       it did not" in lines
    assert (
        "│ debian-12.ova    │ clkeepalived │ 3.8 lifetimes │ 7.0 s  │ complete, arrived │" in lines
    )
    assert max(map(len, lines)) <= 80


def shown_by(file: io.TextIOWrapper, environ: dict[str, str]) -> str:
    """Return everything that a terminal is given, as it arrives there."""
    console = Console(
        file=file,
        width=80,
        height=40,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        _environ=environ,
    )
    planned = uploads()
    planned[0].sent = planned[0].size // 2
    terminal = TerminalScreen(planned, lambda _: Life(left=2.5), LIFETIME, console)
    with terminal:
        terminal.show(planned)
    conclude(terminal)
    file.flush()
    file.seek(0)
    return file.read()


def test_a_terminal_that_knows_only_ascii_is_given_nothing_else() -> None:
    text = shown_by(io.TextIOWrapper(io.BytesIO(), encoding="ascii"), {})
    assert "| debian-12.ova    | clkeepalived | 3.8 lifetimes |" in text
    assert "FAILED" in text


def test_who_wants_no_colours_gets_none_and_misses_nothing() -> None:
    colour = re.compile(r"\x1b\[(?:\d+;)*[34]\d")
    plain = shown_by(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {"NO_COLOR": "1"})
    colourful = shown_by(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {})
    assert colour.search(colourful)
    assert not colour.search(plain)
    assert "FAILED" in plain
    assert "2.5 s" in plain


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_lines_go_where_there_is_no_terminal_to_draw_on(
    term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(screen_for(uploads(), lambda _: Life(), LIFETIME), Lines)


def test_rich_is_left_alone_until_there_is_a_terminal() -> None:
    program = "import sys, keepalived.demo.play; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
