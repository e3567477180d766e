"""What `docs/security.md` says of limits is what the daemon goes by."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from keepalived.control.limits import DEFAULT_LIMITS
from keepalived.sources.discovery import HOLDS_MOST
from keepalived.vcenter.parsing import FILES_MOST, IDS_MOST

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text()


def test_each_limit_stands_there_with_its_value() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, flags=re.MULTILINE)
    assert {name: float(value) for name, value in rows} == asdict(DEFAULT_LIMITS)


def test_the_limits_of_lists_stand_there() -> None:
    text = " ".join(PAGE.split())
    assert f"the first {IDS_MOST:,} ids are read" in text
    assert f"discovery holds {HOLDS_MOST:,} sessions of each kind" in text
    assert f"the first {FILES_MOST} are kept one by one" in text
