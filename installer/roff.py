"""The parts of man(7) that are needed to write manual pages from plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CODE = re.compile(r"`([^`]+)`")


def escape(text: str) -> str:
    """Escape text for roff: hyphens stay ASCII for copying, leading dots are no requests."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(
        "\\&" + line if line[:1] in (".", "'") else line for line in escaped.split("\n")
    )


def words(text: str) -> str:
    """Return running text, with `code` in bold."""
    parts = _CODE.split(text)
    return "".join(
        f"\\fB{escape(part)}\\fR" if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def header(name: str, section: int, version: str, manual: str) -> str:
    """Return the first line of a page, without a date: the same sources make the same page."""
    return f'.TH "{escape(name.upper())}" "{section}" "" "{escape(version)}" "{escape(manual)}"\n'


def section(title: str, *blocks: str) -> str:
    """Return a section with its paragraphs, lists and examples."""
    return f'.SH "{escape(title)}"\n' + "".join(blocks)


def subsection(title: str, *blocks: str) -> str:
    """Return a part of a section."""
    return f'.SS "{escape(title)}"\n' + "".join(blocks)


def paragraph(text: str) -> str:
    """Return a paragraph of running text."""
    return f".PP\n{words(' '.join(text.split()))}\n"


def example(text: str) -> str:
    """Return an example whose lines are not filled."""
    return f".PP\n.RS 4\n.nf\n{escape(text.rstrip())}\n.fi\n.RE\n"


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Return terms in bold, each with its explanation."""
    return "".join(
        f".TP\n\\fB{escape(term)}\\fR\n{words(' '.join(text.split()))}\n" for term, text in items
    )
