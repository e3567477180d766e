"""Durations as text: the boundaries between units."""

from __future__ import annotations

import pytest

from keepalived.lease.text import duration, printable, size


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (60, "1 m"),
        (61, "1 m 1 s"),
        (599, "9 m 59 s"),
        (600, "10 m"),
        (659, "10 m"),
        (3599, "59 m"),
        (3600, "1 h"),
        (3660, "1 h 1 m"),
        (36_660, "10 h 11 m"),
        (86_399, "23 h 59 m"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (864_000 + 3600, "10 d 1 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2, "1.0 MiB"),
        (2.25 * 1024**3, "2.2 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_suits_it(count: float, words: str) -> None:
    assert size(count) == words


def test_what_steers_a_terminal_is_replaced_and_all_else_stays() -> None:
    assert printable("a\x1b[2Jé b\n") == "a�[2Jé b�"
    assert printable(7) == "7"
