"""Detects unreadable parts of SQLite's write-ahead log, which SQLite itself skips silently.

See sqlite.org/fileformat2.html, section 4. The log has a header of 32 bytes, and frames of a header
of 24 bytes and a page. A frame is valid if its salts equal those of the header and its checksum,
which continues that of the previous frame, is correct; a transaction, if its last frame is.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
_PAGE_SIZES = frozenset(1 << power for power in range(9, 17))
_USUAL_PAGE = 4096
_MASK = 0xFFFFFFFF


class Damage(NamedTuple):
    """The number of unreadable frames after the last valid commit, and when the log was written."""

    frames: int
    written_at: float


def damage_of(path: Path) -> Damage | None:
    """Return the damage to a write-ahead log, or None. Raises OSError."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            return _damage(path, header, file.read())
    except FileNotFoundError:
        return None


def _damage(path: Path, header: bytes, frames: bytes) -> Damage | None:
    magic, _, page, _, *salts, first, second = _HEADER.unpack(header)
    written_at = path.stat().st_mtime
    order = ">" if magic & 1 else "<"
    size = _FRAME.size + page
    sums = _checksum(order, header[:24], (0, 0)) if magic & ~1 == _MAGIC else (-1, -1)
    if sums != (first, second) or page not in _PAGE_SIZES:
        # No frame is readable without a valid header.
        count = len(frames) // (size if page in _PAGE_SIZES else _FRAME.size + _USUAL_PAGE)
        return Damage(max(1, count), written_at) if frames else None
    is_valid, unreadable = True, 0
    for start in range(0, len(frames) - size + 1, size):
        head = frames[start : start + _FRAME.size]
        _, _, *frame_salts, third, fourth = _FRAME.unpack(head)
        if is_valid and frame_salts == salts:
            sums = _checksum(order, head[:8], sums)
            sums = _checksum(order, frames[start + _FRAME.size : start + size], sums)
            is_valid = sums == (third, fourth)
        else:
            is_valid = False
        # Frames with other salts are left from an earlier use of the file, and are not damage.
        unreadable += not is_valid and frame_salts == salts
    return Damage(unreadable, written_at) if unreadable else None


def _checksum(order: str, content: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    for left, right in struct.iter_unpack(f"{order}2I", content):
        first = (first + left + second) & _MASK
        second = (second + right + first) & _MASK
    return first, second
