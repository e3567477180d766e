"""The progress bar: its words, its rate, and the last row of a terminal, in a real one."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import struct
import termios
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from keepalived.lease.text import size, width_of
from keepalived.wrapper.bar import Bar, bar_on
from keepalived.wrapper.progress_line import ASCII, BarView, line, sentence
from keepalived.wrapper.rate import Rate
from tests.support.screen import Screen

GIB = 1024**3
VIEW = BarView("templates/debian", 3 * GIB, 8 * GIB, 40 * 1024**2, 128.0, 252.0)
WARNED = BarView("templates/debian", 3 * GIB, 8 * GIB, warning="vCenter unreachable, 3 m left")
LABEL = "templates/debian  37 %"
XTERM = {"TERM": "xterm-256color"}


class Site:
    """A terminal, a command that writes to it, and the bar of which it knows nothing."""

    def __init__(self, columns: int = 80, rows: int = 8) -> None:
        self.screen = Screen(columns, rows)
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        self.stream: TextIO = open(self._slave, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - closed below
        self._tell_size()
        self.now = 0.0
        self._bars: list[Bar] = []

    def _tell_size(self) -> None:
        packed = struct.pack("HHHH", self.screen.rows, self.screen.columns, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, packed)

    def bar(self, **environ: str) -> Bar:
        bar = bar_on(self.stream, XTERM | environ, lambda: self.now)
        assert bar is not None
        self._bars.append(bar)
        return bar

    def command(self, text: str) -> None:
        """Let the command write."""
        os.write(self._slave, text.encode())
        self.read()

    def draw(self, bar: Bar, view: BarView = VIEW) -> None:
        """Let the bar draw, long enough after what it drew before."""
        self.now += 1
        bar.draw(view)
        self.read()

    def resize(self, columns: int, rows: int, *, from_history: bool = False) -> None:
        self.screen.resize(columns, rows, from_history=from_history)
        self._tell_size()

    def read(self) -> str:
        """Let the terminal take in all that was written so far."""
        os.write(self._slave, b"\0")  # a terminal ignores it
        taken = b""
        while not taken.endswith(b"\0"):
            with suppress(BlockingIOError):
                taken += os.read(self._master, 65536)
        text = taken[:-1].decode()
        self.screen.feed(text)
        return text

    def freeze(self, *, frozen: bool = True) -> None:
        """Press ^S, or ^Q."""
        termios.tcflow(self._slave, termios.TCOOFF if frozen else termios.TCOON)

    def hang_up(self) -> None:
        os.close(self._master)

    def close(self) -> None:
        with suppress(termios.error):  # hung up
            self.freeze(frozen=False)
        for bar in self._bars:
            bar.close()
        self.stream.close()
        for descriptor in (self._master, self._slave):
            with suppress(OSError):
                os.close(descriptor)

    @property
    def lines(self) -> list[str]:
        return self.screen.lines

    @property
    def output(self) -> list[str]:
        """All that the command has written, scrolled away or not."""
        return [each for each in self.screen.history + self.lines[:-1] if each]


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


# -- the terminal


def test_the_bar_stands_in_the_last_row_and_the_cursor_stays_where_it_was(site: Site) -> None:
    site.command("$ upload\r\nworking: ")
    site.draw(site.bar())
    site.command("done")

    assert site.lines[:2] == ["$ upload", "working: done"]
    assert site.lines[2:-1] == [""] * 5
    assert site.lines[-1].startswith(LABEL)


@pytest.mark.parametrize("before", [0, 1, 6, 7, 8, 30])
def test_what_scrolls_stays_whole_above_the_bar(site: Site, before: int) -> None:
    written = [f"line {number}" for number in range(before + 40)]
    for text in written[:before]:
        site.command(f"{text}\r\n")
    bar = site.bar()
    for number, text in enumerate(written[before:]):
        site.draw(bar, BarView(f"look {number}"))
        assert site.lines[-1] == f"look {number}"
        site.command(f"{text}\r\n")

    assert site.output == written
    assert site.lines[-3:-1] == ["line " + str(before + 39), ""]


def test_a_line_that_is_being_written_in_the_last_row_moves_up_with_its_cursor(
    site: Site,
) -> None:
    site.command("\n" * 7 + "\r40 %")
    site.draw(site.bar())
    site.command("\r41 %")

    assert site.lines[-2] == "41 %"
    assert site.lines[-1].startswith(LABEL)


def test_it_is_drawn_only_when_it_changes(site: Site) -> None:
    bar = site.bar()
    site.draw(bar)
    written = len(site.screen.everything)
    for _ in range(10):
        site.draw(bar)
    assert len(site.screen.everything) == written

    site.draw(bar, WARNED)
    assert "unreachable" in site.lines[-1]


def test_it_is_drawn_five_times_a_second_at_most(site: Site) -> None:
    bar = site.bar()
    drawn = set()
    for number in range(1000):  # ten seconds
        site.now += 0.01
        bar.draw(BarView(f"look {number}"))
        site.read()
        drawn.add(site.lines[-1])
    assert 45 <= len(drawn) <= 51


@pytest.mark.parametrize("from_history", [False, True])
@pytest.mark.parametrize(
    ("columns", "rows"), [(80, 20), (80, 5), (40, 8), (120, 12), (30, 5), (80, 3)]
)
@pytest.mark.parametrize("before", [3, 30])
def test_it_follows_the_window(
    site: Site, before: int, columns: int, rows: int, *, from_history: bool
) -> None:
    bar = site.bar()
    site.draw(bar)
    written = [f"line {number}" for number in range(before + 30)]
    for text in written[:before]:
        site.command(f"{text}\r\n")
    site.resize(columns, rows, from_history=from_history)
    for text in written[before:]:
        site.draw(bar)
        assert site.lines[-1].startswith(LABEL)
        assert len(site.lines[-1]) < columns
        site.command(f"{text}\r\n")

    assert site.output == written


def test_a_new_window_is_not_made_to_wait(site: Site) -> None:
    bar = site.bar()
    site.draw(bar)
    site.resize(80, 20)
    bar.draw(VIEW)
    site.read()

    assert site.lines[-1].startswith(LABEL)


def test_what_the_command_writes_before_a_new_size_was_noticed_is_kept(site: Site) -> None:
    bar = site.bar()
    site.draw(bar)
    written = [f"line {number}" for number in range(40)]
    for text in written[:20]:
        site.command(f"{text}\r\n")
    site.resize(80, 6)
    for text in written[20:]:
        site.command(f"{text}\r\n")
    site.draw(bar)

    assert site.output == written
    assert site.lines[-1].startswith(LABEL)


def test_a_window_that_is_too_low_has_no_bar_until_it_grows(site: Site) -> None:
    bar = site.bar()
    site.draw(bar)
    site.resize(80, 2)
    site.draw(bar)
    site.command("a\r\nb\r\nc")
    assert site.lines == ["b", "c"]
    site.resize(80, 8)
    site.draw(bar)
    assert site.lines[-1].startswith(LABEL)


@pytest.mark.parametrize("before", [0, 30])
def test_the_end_leaves_a_clean_screen(site: Site, before: int) -> None:
    written = [f"line {number}" for number in range(before)]
    bar = site.bar()
    site.draw(bar)
    for text in written:
        site.command(f"{text}\r\n")
    bar.close()
    bar.close()
    site.command("$ ")

    assert site.lines[-1] == ""
    assert site.output == [*written, "$"]
    for number in range(10):
        site.command(f"\r\n{number}")
    assert site.lines == [str(number) for number in range(2, 10)]


def test_it_is_withdrawn_for_a_stop_and_comes_back_afterwards(site: Site) -> None:
    bar = site.bar()
    site.command("working\r\n")
    site.draw(bar)
    bar.withdraw()
    site.read()
    assert site.lines == ["working", *[""] * 7]
    for _ in range(10):
        site.command("$ \r\n")
    bar.draw(VIEW)
    site.read()
    site.command("working on")

    assert site.lines[-2:] == ["working on", site.lines[-1]]
    assert site.lines[-1].startswith(LABEL)


@pytest.mark.parametrize("from_history", [False, True])
@pytest.mark.parametrize("before", [2, 30])
def test_an_end_in_a_window_of_another_size_leaves_the_command_s_lines_alone(
    site: Site, before: int, *, from_history: bool
) -> None:
    bar = site.bar()
    site.draw(bar)
    written = [f"line {number}" for number in range(before)]
    for text in written:
        site.command(f"{text}\r\n")
    site.resize(80, 20, from_history=from_history)
    bar.close()
    site.read()

    assert site.output == written
    assert site.lines[-1] == ""


def test_lines_of_our_own_stand_above_the_bar(site: Site) -> None:
    bar = site.bar()
    site.draw(bar)
    for number in range(20):
        bar.say(f"line {number}")
    site.read()

    assert site.output == [f"line {number}" for number in range(20)]
    assert site.lines[-1].startswith(LABEL)


def test_a_frozen_terminal_is_not_waited_for_and_loses_nothing_that_was_said(
    site: Site,
) -> None:
    bar = site.bar()
    site.draw(bar)
    site.freeze()
    for number in range(20):
        site.now += 1
        bar.draw(BarView(f"look {number}"))
        bar.say(f"line {number}")
    site.freeze(frozen=False)
    site.draw(bar, WARNED)
    site.draw(bar, WARNED)

    assert site.output == [f"line {number}" for number in range(20)]
    assert "look 9" not in site.screen.everything  # news that is old by then
    assert site.lines[-1].startswith(LABEL)
    assert "unreachable" in site.lines[-1]


def test_a_terminal_that_was_hung_up_is_no_trouble(site: Site) -> None:
    bar = site.bar()
    site.draw(bar)
    site.hang_up()
    site.now += 1
    bar.draw(WARNED)
    bar.say("a line")
    bar.withdraw()


def test_colours_are_for_warnings_where_they_are_wanted(site: Site) -> None:
    plain, coloured = site.bar(NO_COLOR="1"), site.bar(NO_COLOR="")
    site.draw(plain, WARNED)
    assert "\x1b[33m" not in site.screen.everything
    plain.withdraw()
    site.draw(coloured)
    assert "\x1b[33m" not in site.screen.everything
    site.draw(coloured, WARNED)
    assert "\x1b[33m" in site.screen.everything


def test_other_encodings_get_ascii(site: Site) -> None:
    site.stream = io.TextIOWrapper(io.FileIO(site.stream.fileno(), closefd=False), "latin-1")
    site.draw(site.bar(), BarView("Bücher", 1, 2))
    assert site.screen.everything.isascii()
    assert site.lines[-1].startswith("B?cher  50 %  ####")


@pytest.mark.parametrize("term", ["dumb", "unknown", "", None])
def test_terminals_that_understand_nothing_get_nothing(site: Site, term: str | None) -> None:
    environ = {} if term is None else {"TERM": term}
    assert bar_on(site.stream, environ) is None
    assert site.read() == ""


@pytest.mark.parametrize("rows", [0, 2])
def test_a_window_too_low_at_the_start_gets_nothing(rows: int) -> None:
    site = Site(80, rows)
    try:
        before = len(os.listdir("/proc/self/fd"))
        assert bar_on(site.stream, XTERM) is None
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        site.close()


def test_what_is_no_terminal_gets_nothing() -> None:
    with open("/dev/null", "w", encoding="utf-8") as stream:
        assert bar_on(stream, XTERM) is None
    assert bar_on(io.StringIO(), XTERM) is None


def test_the_stream_that_others_share_goes_on_blocking(site: Site) -> None:
    site.bar()
    assert os.get_blocking(site.stream.fileno())


# -- the words


def test_the_line_says_it_all_where_there_is_room() -> None:
    assert line(VIEW, 120) == (
        "templates/debian  37 %  ━━━━━━━━───────────────  3.0 of 8.0 GiB  40.0 MiB/s  2 m 8 s left"
        "  kept alive, 4 m 12 s of slack"
    )


def test_a_common_window_has_room_for_bar_rate_and_time() -> None:
    assert line(VIEW, 79) == (
        "templates/debian  37 %  ━━━━━━───────────  40.0 MiB/s  2 m 8 s left  kept alive"
    )


def test_a_warning_needs_its_room() -> None:
    assert line(WARNED, 60) == "templates/debian  37 %  vCenter unreachable, 3 m left"
    assert line(WARNED, 60, ASCII).isascii()


@pytest.mark.extended
@pytest.mark.parametrize("glyphs", [ASCII, None], ids=["ASCII", "Unicode"])
def test_no_line_is_longer_than_it_may_be(glyphs: object) -> None:
    labels = ["x", "library/" + "very long name " * 5, "図書館/仮想マシン" * 3, "e\u0301" * 40]
    for label, columns, warning in itertools.product(labels, range(130), [None, "warning " * 9]):
        view = BarView(label, 3 * GIB, 8 * GIB, 40.0, 128.0, 252.0, warning)
        text = line(view, columns, ASCII) if glyphs else line(view, columns)
        assert width_of(text) <= columns


def test_names_cannot_steer_the_terminal() -> None:
    view = BarView("a\x1b[2Jb\r\n", warning="\x1b]0;x\x07")
    assert line(view, 80).isprintable()
    assert sentence(view).isprintable()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (BarView("LIB/NAME"), "LIB/NAME"),
        (BarView("LIB/NAME", 5 * GIB), "LIB/NAME: 5.0 GiB"),
        (BarView("LIB/NAME", 0, 0), "LIB/NAME: 0 of 0 B"),
        (BarView("LIB/NAME", 1024, 4 * GIB), "LIB/NAME: 0 %, 1.0 KiB of 4.0 GiB"),
        (BarView("LIB/NAME", slack=-61.0), "LIB/NAME: not renewed, overdue by 1 m 1 s"),
        (
            VIEW,
            "templates/debian: 37 %, 3.0 of 8.0 GiB, 40.0 MiB/s, 2 m 8 s left; "
            "kept alive, 4 m 12 s of slack",
        ),
        (WARNED, "templates/debian: 37 %, 3.0 of 8.0 GiB; vCenter unreachable, 3 m left"),
    ],
)
def test_a_log_gets_the_same_in_words(view: BarView, expected: str) -> None:
    assert sentence(view) == expected


def test_that_all_is_done_only_the_uploader_can_say() -> None:
    assert BarView("LIB/NAME", 8, 8).percent == 99


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.5 * GIB, "1.5 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_are_in_the_unit_that_suits_them(count: float, expected: str) -> None:
    assert size(count) == expected


# -- the rate


def test_a_rate_takes_two_looks() -> None:
    rate = Rate()
    assert (rate.per_second, rate.eta(100)) == (None, None)
    rate.add(5.0, 10)
    assert (rate.per_second, rate.eta(100)) == (None, None)
    rate.add(7.0, 30)
    assert (rate.per_second, rate.eta(100)) == (10.0, 7.0)


def test_the_rate_is_that_of_the_last_quarter_of_a_minute() -> None:
    rate = Rate()
    for second in range(0, 62, 2):
        rate.add(second, second * 1000)
    for second in range(62, 78, 2):
        rate.add(second, 60_000 + (second - 60) * 10)
    assert rate.per_second == pytest.approx(10.0)


def test_what_stands_still_has_no_end_in_sight() -> None:
    rate = Rate()
    for second in range(20):
        rate.add(second, min(second, 3))
    assert (rate.per_second, rate.eta(100)) == (0.0, None)


@pytest.mark.parametrize(
    ("before", "then", "per_second"),
    [
        ([(0.0, 5000), (2.0, 6000), (4.0, 10)], (6.0, 30), 10.0),  # another file
        ([(0.0, 0), (3600.0, 1000)], (3602.0, 2000), 500.0),  # a long gap
    ],
)
def test_a_new_beginning(
    before: list[tuple[float, int]], then: tuple[float, int], per_second: float
) -> None:
    rate = Rate()
    for at, done in before:
        rate.add(at, done)
    assert rate.per_second is None
    rate.add(*then)
    assert rate.per_second == per_second


def test_more_than_all_is_done_at_once() -> None:
    rate = Rate()
    rate.add(0.0, 0)
    rate.add(1.0, 200)
    assert rate.eta(100) == 0.0
