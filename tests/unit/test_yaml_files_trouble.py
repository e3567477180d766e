"""Files that cannot be read, and lines that are wrong: what is held all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.yaml_site import LOOK, sessions, site

pytestmark = pytest.mark.looptime


async def test_a_broken_file_keeps_its_last_good_content_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=1))
    async with site(tmp_path) as it:
        path.write_text("sessions: [{id: a, progress: 2}, {id")
        await asyncio.sleep(10 * LOOK)
        assert it.holds() == {"a": 1}
        broken = (
            "failed",
            "a.yaml",
            "not valid YAML: a '{' is opened, but a ',' or '}' is missing",
        )
        assert it.ear.heard == [broken]
        path.write_text("\t")
        await asyncio.sleep(LOOK)
        assert it.ear.heard == [
            broken,
            ("failed", "a.yaml", "not valid YAML: a tab is used; indent YAML with spaces only"),
        ]
        path.write_text(sessions(a=3))
        await asyncio.sleep(LOOK)
        assert it.holds() == {"a": 3}
        assert it.ear.heard[2:] == [("recovered", "a.yaml")]


async def test_a_file_broken_from_the_start_stops_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "b.yaml").write_text(sessions(b=None))
    async with site(tmp_path) as it:
        assert it.holds() == {"b": None}
        assert it.ear.heard == [
            ("failed", "a.yaml", "the file is empty; write `sessions: []` if there are no sessions")
        ]
        (tmp_path / "a.yaml").unlink()
        await asyncio.sleep(LOOK + 0.1)
        assert it.ear.heard[1:] == [("recovered", "a.yaml")]


async def test_a_bad_line_keeps_its_last_good_form_beside_the_good_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=1, b=2))
    async with site(tmp_path) as it:
        path.write_text("sessions:\n- {id: a, progress: 101}\n- {id: b, progress: 3}\n- {id: c}\n")
        await asyncio.sleep(5 * LOOK)
        assert it.holds() == {"a": 1, "b": 3, "c": None}
        assert it.ear.heard == [
            ("failed", "a.yaml", "sessions[0].progress: must be at most 100, not 101")
        ]
        path.write_text(sessions(a=4, b=3))
        await asyncio.sleep(2 * LOOK)
        assert it.holds() == {"a": 4, "b": 3}
        assert it.ear.heard[1:] == [("recovered", "a.yaml")]


async def test_a_line_that_vanished_is_let_go_while_another_one_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=1, b=2))
    async with site(tmp_path) as it:
        path.write_text("sessions: [{id: a, progress: 101}]")
        await asyncio.sleep(2 * LOOK + 0.1)
        assert it.holds() == {"a": 1}


async def test_what_vanished_from_a_file_that_then_broke_is_let_go_when_it_is_good_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=1, b=2))
    async with site(tmp_path) as it:
        path.write_text(sessions(b=2))
        await asyncio.sleep(LOOK + 0.1)
        path.write_text("broken")
        await asyncio.sleep(3 * LOOK)
        assert it.holds() == {"a": 1, "b": 2}
        path.write_text(sessions(b=2))
        await asyncio.sleep(LOOK)
        assert it.holds() == {"b": 2}
