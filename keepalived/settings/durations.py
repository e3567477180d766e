"""Parses and formats durations such as `90s`, `5m`, `1h30m`, `7d`, or plain seconds."""

from __future__ import annotations

import math
import re

PATTERN = r"^(\d+(\.\d+)?d)?(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s?)?$"
"""A regular expression for durations, valid in both Python and JSON schema."""

LONGEST = 36_525 * 86_400.0
"""A hundred years, in seconds: the sum with any present time is still a valid date."""

_SHOWN = 60
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms]?)")
_WHOLE = re.compile(PATTERN)


class DurationTooLongError(ValueError):
    """A well-formed duration is longer than LONGEST."""


def parse_duration(value: object) -> float:
    """Return a duration in seconds.

    Raises ValueError with a message for the author of the value; DurationTooLongError if it is
    over LONGEST.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text or not text.isascii() or not _WHOLE.fullmatch(text):
            raise ValueError(_error_message(value))
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        raise ValueError(_error_message(value))
    # Check this before the conversion: an integer may be too large for a float.
    if LONGEST < seconds < math.inf:
        raise DurationTooLongError(f"a duration is at most {LONGEST / _UNITS['d']:.0f}d")
    if not 0 <= seconds <= LONGEST:
        raise ValueError(_error_message(value))
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Return a duration as text that `parse_duration` accepts, such as `1h30m`."""
    parts = []
    left = round(seconds, 3)
    for unit in "dhm":
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count:.0f}{unit}")
    if left or not parts:
        parts.append(f"{round(left, 3):g}s")
    return "".join(parts)


def _error_message(value: object) -> str:
    # Values of other types may be unprintable, or contain secrets.
    shown = repr(value) if isinstance(value, str | bool | float) else "this"
    if isinstance(value, int) and -LONGEST < value < 0:
        shown = str(value)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}…"
    return f"{shown} is not a duration; write for example 90s, 5m, 1h30m, 7d, or plain seconds"
