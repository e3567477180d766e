"""The sessions of the configuration itself, and what a reload changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keepalived.lease.holds import Owner, OwnerKind
from keepalived.settings import load_settings
from tests.support.yaml_site import LOOK, sessions, settings, site

pytestmark = pytest.mark.looptime


async def test_sessions_of_settings_that_came_from_no_file(tmp_path: Path) -> None:
    async with site(tmp_path, sessions=[{"id": "a", "progress": 5}]) as it:
        assert it.hold("a").owner == Owner(OwnerKind.FILE, "configuration")
        await asyncio.sleep(5 * LOOK)
        assert it.holds() == {"a": 5}
        await it.source.apply(settings(tmp_path, sessions=[{"id": "b"}]))
        assert it.holds() == {"b": None}


async def test_the_sessions_of_the_configuration_are_watched(tmp_path: Path) -> None:
    config = tmp_path / "config"
    head = "vcenters: {lab: {url: 'https://lab'}}\n"
    config.write_text(head + sessions(a=1))
    async with site(tmp_path, config=config, sessions=[{"id": "a", "progress": 1}]) as it:
        assert it.hold("a").owner == Owner(OwnerKind.FILE, str(config))
        config.write_text("vcenters: nonsense that waits for a reload\n" + sessions(a=2, b=3))
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": 2, "b": 3}
        config.unlink()
        await asyncio.sleep(5 * LOOK)
        assert it.holds() == {"a": 2, "b": 3}
        assert it.ear.heard == [
            ("failed", "config", "the file is missing; its sessions are still held")
        ]
        config.write_text(head)
        await asyncio.sleep(2 * LOOK)
        assert it.holds() == {}


async def test_a_configuration_at_a_path_like_the_name_of_settings_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configuration").write_text(sessions(a=1))
    async with site(tmp_path, config=Path("configuration")) as it:
        assert it.holds() == {"a": 1}


async def test_a_reload_touches_nothing_that_stayed_as_it_was(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("vcenters: {lab: {url: 'https://lab'}}\n" + sessions(a=1, b=2))
    (tmp_path / "s.yaml").write_text(sessions(c=3))
    async with site(tmp_path, config=config) as it:
        before = it.hold("a"), it.hold("c")
        await asyncio.sleep(100)
        config.write_text("vcenters: {lab: {url: 'https://lab'}}\n" + sessions(a=1))
        loaded = await asyncio.to_thread(load_settings, config, {})
        await it.source.apply(loaded.settings.replace(session_files=(f"{tmp_path}/*.yaml",)))
        assert it.holds() == {"a": 1, "c": 3}
        assert (it.hold("a"), it.hold("c")) == before
        assert len(it.ear.taken) == 3


async def test_files_that_match_no_pattern_any_more_let_their_holds_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    (tmp_path / "b.yaml").write_text(sessions(b=None))
    async with site(tmp_path) as it:
        await it.source.apply(settings(tmp_path, session_files=[f"{tmp_path}/b.yaml"]))
        assert it.holds() == {"b": None}
        await asyncio.sleep(3 * LOOK)
        assert it.holds() == {"b": None}


async def test_a_second_vcenter_leaves_what_is_held_and_says_what_is_unclear_now(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=None))
    async with site(tmp_path) as it:
        await it.source.apply(settings(tmp_path, "lab", "prod"))
        assert it.holds() == {"a": None}
        assert it.ear.heard == [
            (
                "failed",
                "a.yaml",
                "sessions[0].vcenter: is missing; name the vCenter of the session: lab, prod",
            )
        ]
        path.write_text("sessions: [{id: a, vcenter: lab}, {id: a, vcenter: prod}]")
        await asyncio.sleep(LOOK + 0.1)
        assert it.hold("a", "prod").owner == it.hold("a", "lab").owner
        assert it.ear.heard[1:] == [("recovered", "a.yaml")]


@pytest.mark.parametrize("is_broken", [False, True])
async def test_sessions_of_a_vcenter_that_is_gone_are_let_go_even_from_a_broken_file(
    tmp_path: Path, is_broken: bool
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("sessions: [{id: a, vcenter: lab}, {id: b, vcenter: prod}]")
    async with site(tmp_path, "lab", "prod") as it:
        if is_broken:
            path.write_text("broken")
        await asyncio.sleep(LOOK + 0.1)
        await it.source.apply(settings(tmp_path, "lab"))
        assert it.holds() == {"a": None}
