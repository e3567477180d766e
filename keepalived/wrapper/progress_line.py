"""Format the state of an upload: one line for a terminal, or a sentence for a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keepalived.lease.text import duration, printable, size, width_of

_MOST_PERCENT = 99
_GAP = "  "
_LABEL_LEAST, _LABEL_MOST = 12, 28
_BAR_LEAST, _BAR_MOST = 8, 30


@dataclass(frozen=True, slots=True)
class BarView:
    """The values to show; None for unknown ones.

    `done` and `total` are in bytes, `rate` in bytes per second, `left` in seconds until the upload
    is done. `slack` is the time in seconds until the session would expire without another renewal.
    A warning replaces less urgent parts.
    """

    label: str
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    left: float | None = None
    slack: float | None = None
    warning: str | None = None

    @property
    def percent(self) -> int | None:
        """The progress; never 100, since only the uploader can report completion."""
        if self.done is None or not self.total:
            return None
        return min(_MOST_PERCENT, 100 * self.done // self.total)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that a line is drawn with."""

    full: str
    empty: str
    dots: str


UNICODE = Glyphs("━", "─", "…")
ASCII = Glyphs("#", "-", "...")


def line(view: BarView, columns: int, glyphs: Glyphs = UNICODE) -> str:
    """Format a view in at most `columns` columns; the least important parts go first."""
    label, warning = _displayable(view.label, glyphs), _displayable(view.warning or "", glyphs)
    parts = {
        "label": label,
        "percent": "" if view.percent is None else f"{view.percent:2} %",
        "bar": "" if view.percent is None else glyphs.empty * _BAR_LEAST,
        "bytes": _bytes(view),
        "rate": _rate(view),
        "left": _left(view),
        "state": warning or _slack(view),
    }
    shorter = (
        ("state", warning or _slack(view).partition(",")[0]),
        ("bytes", ""),
        ("label", _cut(label, _LABEL_MOST, glyphs)),
        ("state", warning),
        ("bar", ""),
        ("rate", ""),
        ("left", ""),
        ("label", _cut(label, _LABEL_LEAST, glyphs)),
    )
    for name, text in shorter:
        if width_of(_joined(parts)) <= columns:
            break
        parts[name] = text
    if parts["bar"] and view.percent is not None:
        room = min(_BAR_MOST, _BAR_LEAST + max(0, columns - width_of(_joined(parts))))
        full = room * view.percent // 100
        parts["bar"] = glyphs.full * full + glyphs.empty * (room - full)
    return _cut(_joined(parts), columns, glyphs)


def sentence(view: BarView) -> str:
    """Format a view as a line for a log."""
    percent = "" if view.percent is None else f"{view.percent} %"
    progress = [percent, _bytes(view), _rate(view), _left(view)]
    parts = [", ".join(each for each in progress if each), _slack(view), view.warning]
    state = "; ".join(printable(each) for each in parts if each)
    return f"{printable(view.label)}: {state}" if state else printable(view.label)


def _joined(parts: Mapping[str, str]) -> str:
    return _GAP.join(part for part in parts.values() if part)


def _displayable(text: str, glyphs: Glyphs) -> str:
    """Return a text of foreign origin in characters that the terminal can show."""
    if glyphs is ASCII:
        text = text.encode("ascii", errors="replace").decode()
    return printable(text)


def _cut(text: str, columns: int, glyphs: Glyphs) -> str:
    """Return the text, shortened and with an ellipsis if it does not fit."""
    if width_of(text) <= columns:
        return text
    while text and width_of(text) + len(glyphs.dots) > columns:
        text = text[:-1]
    return (text.rstrip() + glyphs.dots)[: max(0, columns)]


def _bytes(view: BarView) -> str:
    if view.done is None:
        return ""
    if view.total is None:
        return size(view.done)
    done, total = size(view.done), size(view.total)
    number, _, unit = done.partition(" ")
    return f"{number if unit == total.partition(' ')[2] else done} of {total}"


def _rate(view: BarView) -> str:
    return "" if view.rate is None else f"{size(view.rate)}/s"


def _left(view: BarView) -> str:
    return "" if view.left is None else f"{duration(view.left)} left"


def _slack(view: BarView) -> str:
    if view.slack is None:
        return ""
    if view.slack <= 0:
        return f"not renewed, overdue by {duration(-view.slack)}"
    return f"kept alive, {duration(view.slack)} of slack"
