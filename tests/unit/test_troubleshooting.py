"""docs/troubleshooting.md quotes the words on the screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
SOURCE = "".join(path.read_text() for path in sorted((ROOT / "keepalived").rglob("*.py")))
# Literals that continue on the next line are one text.
TEXT = re.sub(r'"\s*\n\s*f?"', "", SOURCE)
QUOTED = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("words", QUOTED)
def test_each_symptom_is_what_the_program_prints(words: str) -> None:
    missing = [part for part in words.split(" … ") if part not in TEXT]
    assert missing == []


def test_most_entries_are_headed_by_words_on_the_screen() -> None:
    assert len(QUOTED) > PAGE.count("\n### ") * 0.9
