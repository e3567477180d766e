"""Formats durations, sizes and untrusted texts for display."""

from __future__ import annotations

import unicodedata

_KILO = 1024
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `9 h 12 m`, `41 m`, `3 s`."""
    left = max(0, round(seconds))
    for place, (size, unit) in enumerate(_UNITS):
        if left < size:
            continue
        whole, rest = divmod(left, size)
        text = f"{whole} {unit}"
        if place + 1 < len(_UNITS):
            smaller, name = _UNITS[place + 1]
            # Seconds are shown only below ten minutes.
            if (part := rest // smaller) and (name != "s" or whole < 10):
                text += f" {part} {name}"
        return text
    return "0 s"


def size(count: float) -> str:
    """Return a number of bytes in a suitable unit: `12.3 GiB`."""
    left = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if left < _KILO:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= _KILO
    return f"{left:.1f} TiB"


def printable(text: object) -> str:
    """Return a text on one line, without terminal control characters.

    Use it for names and messages from servers.
    """
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text)
    )


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes up."""
    return len(text) if text.isascii() else sum(map(columns_of, text))


def columns_of(char: str) -> int:
    """Return how many columns of a terminal a character takes up."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def sayable(text: str) -> str:
    """Return a text that UTF-8 can encode, with lone surrogates as escapes.

    Servers send them, and file names with undecodable bytes contain them.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()
