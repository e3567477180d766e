"""Files that name sessions, and the holds that the daemon makes of them, on the fake clock."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.progress import Progress
from tests.support.yaml_site import LOOK, WEEK, sessions, settings, site

pytestmark = pytest.mark.looptime


# -- what becomes of lines


async def test_everything_that_is_there_is_held_once_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=10, b=None))
    (tmp_path / "b.yaml").write_text(
        "sessions: [{id: c, bytes_done: 1, bytes_total: 4, max_lifetime: 1h, note: nightly}]"
    )
    async with site(tmp_path) as it:
        assert it.holds() == {"a": 10, "b": None, "c": 25}
        now = it.clock.boot()
        owner = Owner(OwnerKind.FILE, f"{tmp_path}/b.yaml")
        expected = Hold(os.getuid(), owner, now, now + 3600, Progress(None, 1, 4), "nightly")
        assert it.hold("c") == expected
        assert it.hold("a").until == now + WEEK


async def test_a_new_line_is_held_at_the_next_look(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        it.write("a.yaml", sessions(a=None))
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": None}
        it.write("a.yaml", sessions(a=None, b=None))
        await asyncio.sleep(LOOK)
        assert it.holds() == {"a": None, "b": None}
        assert [key.id for key in it.ear.taken] == ["a", "b"]


async def test_changed_progress_updates_the_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=10))
    async with site(tmp_path) as it:
        before = it.hold("a")
        await asyncio.sleep(100)
        # In place, of the same size, and perhaps within one tick of the file system's clock.
        path.write_text(sessions(a=20))
        await asyncio.sleep(LOOK)
        assert it.hold("a") == replace(before, progress=Progress(20))
        path.write_text(sessions(a=30))
        await asyncio.sleep(LOOK)
        assert it.hold("a") == replace(before, progress=Progress(30))
        assert len(it.ear.taken) == 1


async def test_a_change_that_no_time_stamp_shows_is_seen_while_the_file_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepalived.settings.files._SETTLED_NS", 1e18)
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=10))
    status = path.stat()
    async with site(tmp_path) as it:
        path.write_text(sessions(a=20))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": 20}


async def test_a_vanished_line_is_let_go_at_the_second_look(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=1, b=2))
    async with site(tmp_path) as it:
        it.write("a.yaml", sessions(b=2))
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": 1, "b": 2}
        await asyncio.sleep(LOOK)
        assert it.holds() == {"b": 2}


async def test_a_file_caught_while_it_is_written_in_place_lets_nothing_go(tmp_path: Path) -> None:
    whole = sessions(a=1, b=2, c=3)
    path = tmp_path / "a.yaml"
    path.write_text(whole)
    async with site(tmp_path) as it:
        for half in (whole[:25], "", whole[:38]):
            path.write_text(half)
            await asyncio.sleep(LOOK)
            assert it.holds() == {"a": 1, "b": 2, "c": 3}
            path.write_text(whole)
            await asyncio.sleep(LOOK)
        await asyncio.sleep(10 * LOOK)
        assert it.holds() == {"a": 1, "b": 2, "c": 3}
        assert len(it.ear.taken) == 3


async def test_a_deleted_file_lets_its_holds_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    (tmp_path / "b.yaml").write_text(sessions(b=None))
    async with site(tmp_path) as it:
        (tmp_path / "a.yaml").unlink()
        await asyncio.sleep(2 * LOOK + 0.1)
        assert it.holds() == {"b": None}
        it.write("a.yaml", sessions(a=None))
        await asyncio.sleep(LOOK)
        assert it.holds() == {"a": None, "b": None}


async def test_a_file_that_is_gone_for_a_moment_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        (tmp_path / "a.yaml").unlink()
        await asyncio.sleep(LOOK + 0.1)
        it.write("a.yaml", sessions(a=None))
        await asyncio.sleep(5 * LOOK)
        assert it.holds() == {"a": None}
        assert len(it.ear.taken) == 1


async def test_two_files_that_name_one_session_are_two_holds(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(sessions(a=None))
    async with site(tmp_path) as it:
        session = it.registry.find(SessionKey("lab", Kind.UPDATE, "a"))
        assert session is not None
        assert {Path(hold.owner.id).name for hold in session.holds} == {"a.yaml", "b.yaml"}
        (tmp_path / "a.yaml").unlink()
        await asyncio.sleep(2 * LOOK + 0.1)
        assert it.hold("a").owner.id == f"{tmp_path}/b.yaml"


async def test_a_line_that_stands_as_it_stood_does_not_start_an_ended_session_anew(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=10))
    async with site(tmp_path) as it:
        it.end("a")
        await asyncio.sleep(5 * LOOK)
        os.utime(path)
        await asyncio.sleep(LOOK)
        path.write_text(sessions(a=10, b=None))
        await asyncio.sleep(LOOK)
        path.write_text(sessions(a=100, b=None))
        await asyncio.sleep(LOOK)
        await it.source.apply(settings(tmp_path))
        assert it.holds() == {"b": None}
        assert [key.id for key in it.ear.taken] == ["a", "b"]


@pytest.mark.parametrize("line", ["{id: a, note: again}", "{id: a, max_lifetime: 1h}"])
async def test_a_line_that_changed_starts_an_ended_session_anew(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        it.end("a")
        it.write("a.yaml", f"sessions: [{line}]")
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": None}


async def test_a_line_that_comes_back_starts_an_ended_session_anew(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        it.end("a")
        it.write("a.yaml", sessions())
        await asyncio.sleep(2 * LOOK + 0.1)
        it.write("a.yaml", sessions(a=None))
        await asyncio.sleep(LOOK)
        assert it.holds() == {"a": None}


async def test_a_hold_that_reached_its_time_limit_is_not_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("sessions: [{id: a, max_lifetime: 10s, progress: 1}]")
    async with site(tmp_path) as it:
        await asyncio.sleep(11)
        it.registry.sweep()
        assert it.holds() == {}
        path.write_text("sessions: [{id: a, max_lifetime: 10s, progress: 2}]")
        await asyncio.sleep(LOOK)
        assert it.holds() == {}


# -- where files are found


async def test_the_symlink_swap_of_kubernetes_is_seen(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    for number in (1, 2):
        (mounted / f"..{number}").mkdir(parents=True)
        (mounted / f"..{number}" / "s.yaml").write_text(sessions(a=number))
    (mounted / "..data").symlink_to("..1")
    (mounted / "s.yaml").symlink_to("..data/s.yaml")
    # Old enough to be told apart by nothing but the inode.
    for number in (1, 2):
        os.utime(mounted / f"..{number}" / "s.yaml", (1e9, 1e9))
    async with site(mounted) as it:
        assert it.holds() == {"a": 1}
        (mounted / "..new").symlink_to("..2")
        (mounted / "..new").replace(mounted / "..data")
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": 2}


NO_FILE = "it is not a regular file, but a pipe, socket or device"


async def test_folders_that_match_are_passed_over_and_pipes_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "null.yaml").symlink_to("/dev/null")
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        await asyncio.sleep(3 * LOOK)
        assert it.holds() == {"a": None}
        assert it.ear.heard == [("failed", "null.yaml", NO_FILE), ("failed", "pipe.yaml", NO_FILE)]


async def test_a_file_that_became_a_pipe_keeps_its_sessions(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(sessions(a=None))
    async with site(tmp_path) as it:
        path.unlink()
        os.mkfifo(path)
        await asyncio.sleep(LOOK + 0.1)
        assert it.holds() == {"a": None}
        assert it.ear.heard == [("failed", "a.yaml", NO_FILE)]


async def test_patterns_may_reach_into_folders(tmp_path: Path) -> None:
    deep = tmp_path / "x" / "y"
    deep.mkdir(parents=True)
    (deep / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path, session_files=[f"{tmp_path}/**/*.yaml"]) as it:
        assert it.holds() == {"a": None}


async def test_a_folder_that_cannot_be_listed_for_a_moment_lets_nothing_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        monkeypatch.setattr("glob.glob", lambda *args, **kwargs: [])
        await asyncio.sleep(5 * LOOK)
        assert it.holds() == {"a": None}


async def test_a_file_system_that_errs_lets_nothing_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        # A link that leads to itself fails as a stale network file does: neither there nor gone.
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "a.yaml").symlink_to("a.yaml")
        await asyncio.sleep(5 * LOOK)
        assert it.holds() == {"a": None}
        assert it.ear.heard == [
            ("failed", "a.yaml", "it cannot be read: Too many levels of symbolic links")
        ]
        it.write("a.yaml", sessions(a=None))
        await asyncio.sleep(LOOK + 0.1)
        assert it.ear.heard[1:] == [("recovered", "a.yaml")]


async def test_a_file_that_grows_beyond_reason_keeps_its_last_good_content(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=None))
    async with site(tmp_path) as it:
        os.truncate(tmp_path / "a.yaml", 300 << 20)
        await asyncio.sleep(3 * LOOK)
        assert it.holds() == {"a": None}
        assert it.ear.heard == [
            (
                "failed",
                "a.yaml",
                "the file has 300 MiB; the limit is 64 MiB",
            )
        ]


# -- size


@pytest.mark.looptime(False)
@pytest.mark.parametrize("files", [1, 500])
async def test_thousands_of_sessions_never_hold_up_the_loop(
    files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepalived.host.slices.SLICE_SECONDS", 0.0)
    turns: list[int] = []  # how many sessions are held at each turn of the loop

    async with site(tmp_path) as it:

        async def watch() -> None:
            while True:
                turns.append(len(it.registry))
                await asyncio.sleep(0)

        for file in range(files):
            numbers = range(file, 5_000, files)
            text = sessions(**{f"s{number}": 5 for number in numbers})
            (tmp_path / f"{file}.yaml").write_text(text)
        watching = asyncio.create_task(watch())
        await it.source.apply(settings(tmp_path))
        watching.cancel()
        assert len(it.registry) == 5_000

    # The files are parsed in a thread of its own, and their sessions are taken in slices.
    assert turns.count(0) > 10
    assert max(later - earlier for earlier, later in pairwise([*turns, 5_000])) <= 2
