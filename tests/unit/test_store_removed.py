"""State files that are removed, replaced or damaged while they are in use, or before."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keepalived.store.errors import StoreError, StoreWriteError
from keepalived.store.store import Store
from tests.support.state_file import HOLD, KEY, Hands, kept, opened, renewed, tell

OTHER = KEY._replace(id="other")
THIRD = KEY._replace(id="third")


def remove(path: Path) -> None:
    path.unlink()


def remove_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def remove_all(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def replace_by_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def replace_by_text(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("somebody else's")
    other.replace(path)


def remove_lock(path: Path) -> None:
    path.with_name(f"{path.name}.lock").unlink()


def cut_off_log(path: Path) -> None:
    os.truncate(path.with_name(f"{path.name}-wal"), 0)


def cut_off_end_of_log(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    os.truncate(log, log.stat().st_size - 1)


def write_over_log(path: Path) -> None:
    with path.with_name(f"{path.name}-wal").open("r+b") as log:
        log.write(b"\0" * 32)


def cut_off(path: Path) -> None:
    os.truncate(path, 0)


HARM = [
    remove, remove_log, remove_all, remove_folder, move_folder, replace_by_copy, replace_by_text,
    remove_lock, cut_off_log, cut_off_end_of_log, write_over_log, cut_off,
]  # fmt: skip
SAID = "removed or replaced|another process wrote"


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
async def test_what_is_acknowledged_is_in_the_file_that_the_path_names(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with capture_logs() as logs:
        async with opened(folder) as (store, _):
            await store.put_hold(KEY, HOLD)
            store.note_session(renewed())
            harm(store.path)
            with pytest.raises(StoreWriteError, match=SAID):
                await store.put_hold(OTHER, HOLD)
            # From here on it is there, without anybody having had to do anything.
            await store.put_hold(THIRD, HOLD)
            copy = tmp_path / "copy"
            shutil.copytree(folder, copy)  # as a kill would leave it
    assert {session.key for session in (await kept(copy)).sessions} == {KEY, THIRD}
    assert {session.key for session in (await kept(folder)).sessions} == {KEY, THIRD}
    (error,) = [line for line in logs if line["log_level"] == "error"]
    assert error["event"] == "state_not_written"
    assert re.search(SAID, error["reason"])
    assert "state_written_again" in [line["event"] for line in logs]


async def test_a_folder_that_cannot_be_made_again_keeps_all_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    async with opened(folder) as (store, _):
        await store.put_hold(KEY, HOLD)
        shutil.rmtree(folder)
        folder.write_text("in the way")
        for _ in range(3):
            with pytest.raises(StoreWriteError):
                await store.put_hold(OTHER, HOLD)
        folder.unlink()
        folder.mkdir()
        await store.put_hold(THIRD, HOLD)
    assert {session.key for session in (await kept(folder)).sessions} == {KEY, THIRD}


async def test_another_daemons_lock_is_respected(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        remove_all(store.path)
        async with opened(tmp_path) as (theirs, _):
            await theirs.put_hold(OTHER, HOLD)
            for _ in range(3):
                with pytest.raises(StoreWriteError):
                    await store.put_hold(THIRD, HOLD)
            await theirs.put_hold(OTHER, replace(HOLD, note="still theirs"))
        await store.put_hold(THIRD, HOLD)
    assert {session.key for session in (await kept(tmp_path)).sessions} == {KEY, THIRD}
    assert (tmp_path / "state.db.replaced").exists()


@pytest.mark.looptime
async def test_a_file_that_is_removed_while_nothing_is_told_is_written_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        remove_all(store.path)
        await store._flush_in_batches()
        store._start_committing()
        await store._committed()
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy(store.path, copy)
    assert {session.key for session in (await kept(copy)).sessions} == {KEY}


# -- damage


@pytest.mark.parametrize("is_empty", [False, True])
async def test_a_log_without_its_file_is_refused_by_name(is_empty: bool, tmp_path: Path) -> None:
    log = await killed(tmp_path)
    (tmp_path / "state.db").unlink()
    if is_empty:
        (tmp_path / "state.db").touch()
    before = log.read_bytes()
    with pytest.raises(StoreError, match=r"state\.db-wal"):
        await Store(tmp_path / "state.db", Hands(), "this-boot").open()
    assert log.read_bytes() == before


async def killed(folder: Path, *, harm: Callable[[bytearray], None] | None = None) -> Path:
    """Leave a state file with three holds in its log, as a killed daemon does."""
    origin = folder / "origin"
    origin.mkdir()
    async with opened(origin) as (store, _):
        for key in (KEY, OTHER, THIRD):
            await store.put_hold(key, HOLD)
        for name in ("state.db", "state.db-wal"):
            shutil.copy(origin / name, folder / name)
    log = folder / "state.db-wal"
    if harm is not None:
        content = bytearray(log.read_bytes())
        harm(content)
        log.write_bytes(content)
    return log


FRAME = 24 + 4096


def last_commit(content: bytearray) -> None:
    content[-100] ^= 0xFF


def first_commit(content: bytearray) -> None:
    content[32 + 24 + 100] ^= 0xFF


def header(content: bytearray) -> None:
    content[10] ^= 0xFF


@pytest.mark.parametrize("harm", [last_commit, first_commit, header])
async def test_damage_in_the_log_is_said_with_its_extent(
    harm: Callable[[bytearray], None], tmp_path: Path
) -> None:
    log = await killed(tmp_path, harm=harm)
    frames = (log.stat().st_size - 32) // FRAME
    with capture_logs() as logs:
        stored = await kept(tmp_path)
    (damage,) = [line for line in logs if line["event"] == "state_damaged"]
    assert damage["log_level"] == "error"
    assert 1 <= damage["unreadable_frames"] <= frames
    assert (damage["unreadable_frames"] == 1) == (harm is last_commit)
    assert damage["written_until"].endswith("+00:00")
    assert len(stored.sessions) == (2 if harm is last_commit else 0)
    assert (damage["intact_until"] is not None) == (harm is last_commit)


async def test_a_log_without_damage_is_no_news(tmp_path: Path) -> None:
    await killed(tmp_path)
    with capture_logs() as logs:
        assert len((await kept(tmp_path)).sessions) == 3
    assert [line for line in logs if line["log_level"] != "info"] == []


async def test_what_an_earlier_use_of_the_log_left_is_no_damage(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    async with opened(origin) as (store, _):
        for number in range(20):
            await store.put_hold(KEY._replace(id=str(number)), HOLD)
        # The log begins anew without being emptied.
        await tell(store, "PRAGMA wal_checkpoint(RESTART)")
        await store.put_hold(OTHER, HOLD)
        for name in ("state.db", "state.db-wal"):
            shutil.copy(origin / name, tmp_path / name)
    with capture_logs() as logs:
        assert len((await kept(tmp_path)).sessions) == 21
    assert not any(line["event"] == "state_damaged" for line in logs)


@pytest.mark.looptime
async def test_what_is_written_does_not_stay_in_the_log(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.put_hold(KEY, HOLD)
        log = tmp_path / "state.db-wal"
        assert log.stat().st_size > 0
        await store._checkpoint()
        await store._checkpoint()
        assert log.stat().st_size == 0
        await store.put_hold(OTHER, HOLD)
    assert len((await kept(tmp_path)).sessions) == 2


@pytest.mark.parametrize("name", ["", "-wal", "-shm", "-journal", ".lock"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
async def test_what_is_no_regular_file_is_refused_by_name(
    make: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    odd = tmp_path / f"state.db{name}"
    make(odd)
    with pytest.raises(StoreError, match=f"^{re.escape(str(odd))}: not a regular file; "):
        await Store(tmp_path / "state.db", Hands(), "this-boot").open()
    assert odd.exists()
