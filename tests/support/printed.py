"""Extract the documentation's code blocks, to run them as printed."""

from __future__ import annotations

import re
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs/how-to"

RUN = "run as printed"
_BLOCK = re.compile(r"(?:<!-- ([^>]+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return the code blocks of a page: the mark above it ("" if none), its language, its text."""
    return _BLOCK.findall((HOW_TO / page).read_text())


def commands(page: str) -> list[str]:
    """Return the commands of a page that are marked to be run as printed, in order."""
    return [text for mark, _, text in blocks(page) if mark == RUN]


def marked(page: str, mark: str) -> str:
    """Return the only code block below a mark."""
    (text,) = [text for each, _, text in blocks(page) if each == mark]
    return text
