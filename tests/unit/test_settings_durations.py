"""Durations, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.settings.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("7d", 604800),
        ("1d12h", 129600),
        ("1.5h", 5400),
        ("0.5s", 0.5),
        ("90", 90),
        (" 5m ", 300),
        (90, 90),
        (0.25, 0.25),
        (0, 0),
    ],
)
def test_durations_are_read(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "m",
        "5 m",
        "5 minutes",
        "5M",
        "30m1h",
        "-5m",
        "1:30",
        "\u0663m",
        -1,
        float("inf"),
        float("nan"),
    ],
)
def test_what_is_no_duration_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write for example 90s, 5m, 1h30m"):
        parse_duration(written)


@pytest.mark.parametrize("written", [True, None, [5], {"m": 5}])
def test_other_kinds_of_values_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (0.25, "0.25s"), (90, "1m30s"), (300, "5m"), (5400, "1h30m"), (604800, "7d")],
)
def test_durations_are_written_for_people(seconds: float, written: str) -> None:
    assert format_duration(seconds) == written


@given(st.integers(0, 10_000_000_000))
def test_what_is_written_reads_the_same(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)
