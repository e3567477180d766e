"""Damage in a write-ahead log, which SQLite ignores silently: logs made by hand, byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from keepalived.store.log_check import Damage, damage_of

MAGIC = 0x377F0682
SALTS = (11, 22)
STALE = (33, 44)
"""The salts of what an earlier use of the file has left."""

Sums = tuple[int, int]


def sums_of(order: str, content: bytes, sums: Sums) -> Sums:
    """Sum up as sqlite.org/fileformat2.html says in section 4.2."""
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for place in range(0, len(words), 2):
        first = (first + words[place] + second) % 2**32
        second = (second + words[place + 1] + first) % 2**32
    return first, second


def log(
    salts: Sequence[tuple[int, int]] = (SALTS,) * 3,
    *,
    order: str = "<",
    page: int = 4096,
    magic: int = MAGIC,
) -> bytearray:
    """Return a sound log with a frame for each pair of salts; stale ones are not summed up."""
    head = struct.pack(">6I", magic | (order == ">"), 3007000, page, 0, *SALTS)
    sums = sums_of(order, head, (0, 0))
    content = bytearray(head + struct.pack(">2I", *sums))
    for number, of_frame in enumerate(salts, start=1):
        body = bytes((number + place) % 251 for place in range(page))
        start = struct.pack(">2I", number, number)
        if of_frame == SALTS:
            sums = sums_of(order, start + body, sums)
        content += start + struct.pack(">4I", *of_frame, *sums) + body
    return content


def damaged_frames(folder: Path, content: bytes | bytearray) -> int:
    """Return how many frames of a log cannot be read."""
    path = folder / "state.db-wal"
    path.write_bytes(content)
    found = damage_of(path)
    if found is None:
        return 0
    assert found == Damage(found.frames, path.stat().st_mtime)
    return found.frames


def frame(number: int, page: int = 4096) -> int:
    """Return where a frame begins, the first one being number 0."""
    return 32 + number * (24 + page)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("page", [512, 4096, 65536])
def test_either_byte_order_is_read_and_its_damage_found(
    order: str, page: int, tmp_path: Path
) -> None:
    content = log(order=order, page=page)
    assert damaged_frames(tmp_path, content) == 0
    content[frame(1, page) + 100] ^= 1
    assert damaged_frames(tmp_path, content) == 2


@pytest.mark.parametrize("page", [512, 4096])
def test_without_a_header_no_frame_is_read(page: int, tmp_path: Path) -> None:
    for place in (0, 20, 30):  # of the magic number, the salts and the sums
        content = log(page=page)
        content[place] ^= 1
        assert damaged_frames(tmp_path, content) == 3
        # The last one is there in part.
        assert damaged_frames(tmp_path, content[:-10]) == 2


def test_what_does_not_begin_as_a_log_is_none_though_its_sums_are_right(tmp_path: Path) -> None:
    assert damaged_frames(tmp_path, log(magic=MAGIC + 2)) == 3


def test_a_header_alone_has_nothing_to_lose(tmp_path: Path) -> None:
    content = log(())
    assert damaged_frames(tmp_path, content) == 0
    content[30] ^= 1
    assert damaged_frames(tmp_path, content) == 0
    assert damaged_frames(tmp_path, content[:20]) == 0


def test_a_page_size_that_there_is_none_of_counts_as_the_usual_one(tmp_path: Path) -> None:
    content = log((SALTS,) * 4, page=4000)
    # The sums are right all the same.
    assert damaged_frames(tmp_path, content) == 4 * (24 + 4000) // (24 + 4096)
    assert damaged_frames(tmp_path, content[: frame(0) + 10]) == 1


def test_a_frame_that_was_cut_short_is_none(tmp_path: Path) -> None:
    assert damaged_frames(tmp_path, log()[:-1]) == 0


def test_after_one_frame_that_cannot_be_read_none_is(tmp_path: Path) -> None:
    content = log()
    content[frame(0) + 20] ^= 1  # its sums alone: those of the others are right
    assert damaged_frames(tmp_path, content) == 3


def test_what_an_earlier_use_has_left_is_no_damage_and_ends_the_log(tmp_path: Path) -> None:
    assert damaged_frames(tmp_path, log((SALTS, STALE, STALE))) == 0
    assert damaged_frames(tmp_path, log((SALTS, STALE, SALTS))) == 1
