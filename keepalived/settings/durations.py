"""Durations as people write them: `90s`, `5m`, `1h30m`, `7d`, or plain seconds."""

from __future__ import annotations

import math
import re

PATTERN = r"^(\d+(\.\d+)?d)?(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s?)?$"
"""A regular expression, in the common subset of Python and JSON schema, of the texts allowed."""

LONGEST = 36_525 * 86_400.0
"""A hundred years, in seconds: what is added to any time is still a date."""

_SHOWN = 60
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms]?)")
_WHOLE = re.compile(PATTERN)


class DurationTooLongError(ValueError):
    """It is a duration, and longer than any that is taken."""


def parse_duration(value: object) -> float:
    """Return a duration in seconds.

    Raises ValueError with a message for the author of the value, TooLongError where it is over
    LONGEST.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text or not text.isascii() or not _WHOLE.fullmatch(text):
            raise ValueError(_refusal(value))
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        raise ValueError(_refusal(value))
    # Before anything is made a float: whole numbers may be too large for one.
    if LONGEST < seconds < math.inf:
        raise DurationTooLongError(f"a duration is at most {LONGEST / _UNITS['d']:.0f}d")
    if not 0 <= seconds <= LONGEST:
        raise ValueError(_refusal(value))
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Return a duration in words that `parse_duration` reads, such as `1h30m`."""
    parts = []
    left = round(seconds, 3)
    for unit in "dhm":
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count:.0f}{unit}")
    if left or not parts:
        parts.append(f"{round(left, 3):g}s")
    return "".join(parts)


def _refusal(value: object) -> str:
    # Of the rest, some cannot be printed, and some may hold secrets.
    told = repr(value) if isinstance(value, str | bool | float) else "this"
    if isinstance(value, int) and -LONGEST < value < 0:
        told = str(value)
    if len(told) > _SHOWN:
        told = f"{told[:_SHOWN]}…"
    return f"{told} is not a duration; write for example 90s, 5m, 1h30m, 7d, or plain seconds"
