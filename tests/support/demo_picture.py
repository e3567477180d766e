"""Draw the summary of a real `make demo` as a terminal: `make picture` writes docs/demo.svg."""

from __future__ import annotations

import re
import subprocess
import sys
from html import escape
from pathlib import Path

from keepalived.demo.verdict import HEADINGS

PICTURE = Path(__file__).parents[2] / "docs/demo.svg"

_CHARACTER, _LINE, _MARGIN = 8.4, 20, 16
_STYLE = "font: 14px ui-monospace, Menlo, Consolas, monospace; white-space: pre"
_TEXT = re.compile(r"<text[^>]*>(.*?)</text>")


def summary(output: str) -> list[str]:
    """Return the lines of the summary, which ends the demo's output."""
    lines = output.strip().splitlines()
    first = next(n for n, line in enumerate(lines) if line.split()[:1] == [HEADINGS[0]])
    return lines[first:]


def masked(picture: str) -> list[str]:
    """Return the texts of a picture with 0 for each number, since times vary between runs."""
    return [re.sub(r"\d+(\.\d+)?", "0", text).strip() for text in _TEXT.findall(picture)]


def draw(lines: list[str]) -> str:
    """Return a picture of a terminal with the lines."""
    shown = ["$ make demo", "…", *lines]
    width = round(2 * _MARGIN + _CHARACTER * max(map(len, shown)))
    height = 2 * _MARGIN + _LINE * len(shown)
    texts = "\n".join(
        f'<text x="{_MARGIN}" y="{_MARGIN + _LINE * number + 14}" fill="{_colour(line)}">'
        f"{escape(line)}</text>"
        for number, line in enumerate(shown)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'xml:space="preserve" style="{_STYLE}">\n<title>The summary of make demo</title>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#1b1f24"/>\n{texts}\n</svg>\n'
    )


def _colour(line: str) -> str:
    if line.endswith(" lost"):
        return "#ff8f85"
    return "#8fdf9f" if "arrived" in line or "passed" in line else "#e6e6e6"


def main() -> None:
    """Run the demo, which takes half a minute, and write the picture."""
    demo = subprocess.run(
        [sys.executable, "-m", "keepalived.cli", "demo"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    PICTURE.write_text(draw(summary(demo.stdout)))
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
