"""The files that a line names: the one that is transferred, and the one with its uploader's token.

They are looked at as often as the line itself, and in the same thread. What was seen is
remembered, but never what a token is: it goes into the hold, and stays nowhere else.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path

from keepalived.host.files import FileTooLargeError, read_file
from keepalived.lease.holds import TOKEN_MAX_LENGTH, token_in
from keepalived.settings import Line
from keepalived.settings.files import Signature, signature_of, why_unreadable
from keepalived.sources.attempts import Attempt, HangsError

SETTLED_NS = 2_000_000_000
"""How old a file's time stamp is before a later write must show in it: two seconds, as coarse as
file systems count."""

_MISSES_UNTIL_LOST = 2
_READ_AT_MOST = 4 * TOKEN_MAX_LENGTH
"""White space around a token is no error; a file far larger than any token is."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the files that a line names.

    `token` is the signature of the token's file; None where it is to be read even if it seems
    unchanged. `misses` counts, up to two, the looks in a row that could not have the token.
    `problems` are words, with the field that they are about.
    """

    path: Path | None = None
    token_file: Path | None = None
    size: int | None = None
    token: Signature | None = None
    misses: int = 0
    problems: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the files of a line led to.

    `is_read` says that `token` is what stands in its file now, None for none; otherwise whatever
    was known of the token still holds.
    """

    seen: Seen
    is_read: bool = False
    token: str | None = None

    def __repr__(self) -> str:
        return f"Look(seen={self.seen!r}, is_read={self.is_read!r})"


def look(line: Line, seen: Seen, *, again: bool, attempt: Attempt | None = None) -> Look:
    """Look at the files that a line names. `again` reads the token even if it seems unchanged.

    A token that cannot be had is done without from the second look on that misses it: who writes
    a file in place empties it first. Where a look hangs, what was seen before still holds.
    """
    attempt = attempt or Attempt()
    if (seen.path, seen.token_file) != (line.path, line.token_file):
        seen = Seen(line.path, line.token_file)
    problems: list[tuple[str, str]] = []
    size = seen.size
    if line.path is not None:
        try:
            with attempt.at(str(line.path)):
                size, trouble = _size_of(line.path, seen.size)
        except HangsError as error:
            trouble = str(error) if error.is_certain else ""
        if trouble:
            words = f"{line.path}: {trouble}; how much there is to transfer is not known"
            problems.append(("path", words))
    found = Look(replace(seen, size=size, problems=tuple(problems)))
    if line.token_file is None:
        return found
    try:
        with attempt.at(str(line.token_file)):
            signature, token = _token_in(line.token_file, None if again else seen.token)
    except HangsError as error:
        if not error.is_certain:
            return found
        trouble = str(error)
    except OSError as error:
        trouble = why_unreadable(error)
    except ValueError as error:
        trouble = str(error)
    else:
        after = replace(found.seen, token=signature, misses=0)
        return Look(after, is_read=token is not None, token=token)
    words = f"{line.token_file}: {trouble}; the session is held without that token"
    problems.append(("token_file", words))
    misses = min(seen.misses + 1, _MISSES_UNTIL_LOST)
    is_lost = misses == _MISSES_UNTIL_LOST and misses > seen.misses
    after = replace(found.seen, token=None, misses=misses, problems=tuple(problems))
    return Look(after, is_read=is_lost or again)


def _size_of(path: Path, known: int | None) -> tuple[int | None, str]:
    """Return the size of a file, and why it is not to be had. What is gone keeps its size: after
    an upload, the file may be cleared away."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        return known, "" if known is not None else why_unreadable(error)
    except OSError as error:
        return known, why_unreadable(error)
    if not stat.S_ISREG(status.st_mode):
        return None, "this is no regular file, and has no size"
    return status.st_size, ""


def _token_in(path: Path, known: Signature | None) -> tuple[Signature | None, str | None]:
    """Return the signature to know a token's file by, and the token unless the file is unchanged.

    Raises OSError, and ValueError with words that do not repeat what the file holds.
    """
    if known is not None and signature_of(os.stat(path)) == known:
        return known, None
    try:
        content, status = read_file(path, most=_READ_AT_MOST)
    except FileTooLargeError:
        raise ValueError(f"an API token has at most {TOKEN_MAX_LENGTH} characters") from None
    token = token_in(content)
    signature = signature_of(status)
    settled = abs(time.time_ns() - signature.modified_ns) > SETTLED_NS
    return (signature if settled else None), token
