"""Dates the last movement of a transfer, from readings of its files; `machine` decides by it.

Not every server reports bytes while they arrive, and an uploader may compute checksums for a long
time before the first byte. So a transfer counts as stalled only if it moved before: if two readings
of a file in transfer had different numbers of bytes.

There are two special cases. If all files are in ERROR, the idle time counts from the first reading
that shows this. A server that pulls without receiving a byte only causes a warning.
"""

from __future__ import annotations

from keepalived.lease.answers import FileInfo

STALL_TIMEOUT = 7200.0
"""Seconds without movement after which a discovered session counts as abandoned."""

WARNING_SHARE = 0.25
"""The share of the stall timeout after which a warning is logged."""

Files = tuple[FileInfo, ...]

_IN_TRANSFER = frozenset({"TRANSFERRING", "PREPARED"})
_AT_WORK = frozenset({"VALIDATING", "PREPARE_REQUESTED", "PREPARING"})
_OVER = frozenset({"READY", "ERROR"})


def was_moving(before: Files, after: Files) -> bool:
    """Whether bytes were transferred between two readings, in the middle of a file."""
    earlier = {file.name: file for file in before}
    for file in after:
        former = earlier.get(file.name)
        if former is None or not (former.status == file.status and file.status in _IN_TRANSFER):
            continue
        if file.bytes_transferred > former.bytes_transferred:
            return True
    return False


def is_server_at_work(files: Files) -> bool:
    """Whether the server itself is busy (validating, preparing or pulling)."""
    return any(
        file.status in _AT_WORK or (file.source_type == "PULL" and file.status not in _OVER)
        for file in files
    )


def have_failed(files: Files) -> bool:
    """Whether all files have failed, so that none can move any more."""
    return bool(files) and all(file.status == "ERROR" for file in files)


def merged(one: FileInfo, other: FileInfo) -> FileInfo:
    """Merge two files into one, with the bytes of both and the status of the more active one."""
    more_active = one if _activity(one) >= _activity(other) else other
    is_size_known = one.size is not None and other.size is not None
    return more_active._replace(
        bytes_transferred=one.bytes_transferred + other.bytes_transferred,
        size=(one.size or 0) + (other.size or 0) if is_size_known else None,
    )


def _activity(file: FileInfo) -> int:
    if file.status in _IN_TRANSFER:
        return 4
    if file.status in _AT_WORK:
        return 3
    if file.status not in _OVER:
        return 2
    return 0 if file.status == "ERROR" else 1


def pulling_since(since: float | None, before: Files, after: Files, now: float) -> float | None:
    """Return when the server began to pull without receiving a byte; None if it does not."""
    is_waiting = any(
        file.source_type == "PULL" and file.status not in _OVER and not file.bytes_transferred
        for file in after
    )
    if not is_waiting:
        return None
    is_active = (bool(before) and before != after) or any(file.status in _AT_WORK for file in after)
    return now if since is None or is_active else since


def moved_at(last: float | None, before: Files, after: Files, now: float) -> float | None:
    """Return when a transfer last moved, given a new reading of its files at `now`.

    `last` is the result for the previous reading. None means that no movement was seen yet and that
    not all files have failed.
    """
    if have_failed(after):
        is_new = bool(before) and not have_failed(before)
        return now if last is None or is_new else last
    if was_moving(before, after):
        return now
    if last is None:
        return None
    # A first reading cannot be compared with anything.
    changed = bool(before) and before != after
    return now if changed or is_server_at_work(after) else last
