"""Extract the documentation's code blocks, to run them as printed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]

RUN = "run as printed"
RUN_UNTIL_READY = "run as printed until it is ready"
NOT_RUN = "not executed: "
"""Begins the mark of a block that no test executes; the reason follows."""
_BLOCK = re.compile(r"(?:<!-- ([^>]+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: str | Path) -> list[tuple[str, str, str]]:
    """Return the code blocks of a page: the mark above it ("" if none), its language, its text.

    `page` is a path, or a name in docs/how-to. Blocks without a language are not code.
    """
    return _BLOCK.findall((HOW_TO / page).read_text())


def commands(page: str | Path) -> list[str]:
    """Return the commands of a page that are marked to be run as printed, in order."""
    return [text for mark, _, text in blocks(page) if mark == RUN]


def marked(page: str, mark: str) -> str:
    """Return the only code block below a mark."""
    (text,) = [text for each, _, text in blocks(page) if each == mark]
    return text
