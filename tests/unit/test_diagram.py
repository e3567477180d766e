"""The picture of the rooms is the one that the imports make."""

from __future__ import annotations

import re
from graphlib import CycleError

import pytest

pytest.importorskip("grimp", reason="no import-linter: `make test-oldest` has none")

from tests.support import diagram

HOUSE = {"roof": {"walls", "ground"}, "walls": {"ground"}, "shed": {"ground"}, "ground": set[str]()}


def test_the_picture_in_the_docs_is_current() -> None:
    assert diagram.draw(diagram.imports()) == diagram.PICTURE.read_text(), "run `make diagram`"
    assert f"]({diagram.PICTURE.name})" in (diagram.PICTURE.parent / "architecture.md").read_text()


def test_only_what_no_longer_way_says_is_drawn() -> None:
    assert diagram.reduced(HOUSE) == HOUSE | {"roof": {"walls"}}


def test_each_room_stands_above_what_it_imports() -> None:
    picture = diagram.draw(HOUSE)
    heights = {name: int(y) for y, name in re.findall(r'y="(\d+)">(\w+)</text>', picture)}
    assert heights["roof"] < heights["walls"] == heights["shed"] < heights["ground"]
    assert picture.count('class="arrow"') == 3


def test_rooms_that_import_each_other_cannot_be_drawn() -> None:
    with pytest.raises(CycleError):
        diagram.draw({"hen": {"egg"}, "egg": {"hen"}})
