"""Checks the files that an entry names: the file being transferred, and the uploader's token file.

They are checked as often as the entry itself, in the same thread. Their state is remembered, but
not the token: only the hold keeps it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from keepalived.host.files import FileTooLargeError, read_file
from keepalived.lease.holds import TOKEN_MAX_LENGTH, token_in
from keepalived.settings.files import Signature, signature_of, why_unreadable
from keepalived.settings.problems import Problem
from keepalived.settings.sessions import SourceLocations
from keepalived.sources.attempts import Attempt, HangsError

_MISSES_UNTIL_LOST = 2
_READ_AT_MOST = 4 * TOKEN_MAX_LENGTH
"""Allows for white space around a token. A larger file is an error."""


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """The files that an entry names, and their last known state.

    `locations` say where the entry names them. `size` is that of the file at `path` in bytes.
    `signature` is that of the token file; None if it must be read even if it seems unchanged.
    `misses` counts, up to two, the successive scans that could not read the token.
    """

    path: Path | None = None
    token_file: Path | None = None
    locations: SourceLocations = field(default_factory=SourceLocations)
    size: int | None = None
    signature: Signature | None = None
    misses: int = 0
    path_problem: str = ""
    token_problem: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems with these files."""
        return tuple(each for each in (self.path_problem, self.token_problem) if each)


def check_files(
    files: NamedFiles, attempt: Attempt, *, again: bool
) -> tuple[NamedFiles, str | None]:
    """Check the files that an entry names. With `again`, read the token even if it seems unchanged.

    Returns their state, and the token to lend from now on: None if the last one is still valid,
    "" if it is lost. A token is lost at the second scan that cannot read it, because a file that is
    written in place is empty at first. If the access hangs, the earlier state remains.
    """
    if files.path is not None:
        files = _with_size(files, files.path, attempt)
    if files.token_file is not None:
        return _with_token(files, files.token_file, attempt, again)
    return files, None


def _with_size(files: NamedFiles, path: Path, attempt: Attempt) -> NamedFiles:
    size, reason = files.size, ""
    try:
        with attempt.at(str(path)):
            status = os.stat(path)
    except HangsError as error:
        if not error.is_certain:
            return files
        reason = str(error)
    except (FileNotFoundError, NotADirectoryError) as error:
        # The file may be removed after an upload. Its last size is kept.
        reason = why_unreadable(error) if size is None else ""
    except OSError as error:
        reason = why_unreadable(error)
    else:
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        reason = "this is not a regular file, and has no size" if size is None else ""
    message = f"{path}: {reason}; the size of the transfer is not known"
    problem = str(Problem(files.locations.path, None, "", message)) if reason else ""
    if (size, problem) == (files.size, files.path_problem):
        return files
    return replace(files, size=size, path_problem=problem)


def _with_token(
    files: NamedFiles, path: Path, attempt: Attempt, again: bool
) -> tuple[NamedFiles, str | None]:
    try:
        with attempt.at(str(path)):
            signature, token = _token_in(path, None if again else files.signature)
    except HangsError as error:
        if not error.is_certain:
            return files, None
        reason = str(error)
    except OSError as error:
        reason = why_unreadable(error)
    except ValueError as error:
        reason = str(error)
    else:
        return replace(files, signature=signature, misses=0, token_problem=""), token
    message = f"{path}: {reason}; the session is held without that token"
    problem = str(Problem(files.locations.token_file, None, "", message))
    misses = min(files.misses + 1, _MISSES_UNTIL_LOST)
    is_lost = again or files.misses < misses == _MISSES_UNTIL_LOST
    files = replace(files, signature=None, misses=misses, token_problem=problem)
    return files, "" if is_lost else None


def _token_in(path: Path, known: Signature | None) -> tuple[Signature | None, str | None]:
    """Return the signature of a token's file, and the token unless the file is unchanged.

    Raises OSError, and ValueError with a message that does not contain the file's content.
    """
    if known is not None and signature_of(os.stat(path)) == known:
        return known, None
    try:
        content, status = read_file(path, most=_READ_AT_MOST)
    except FileTooLargeError:
        raise ValueError(f"an API token has at most {TOKEN_MAX_LENGTH} characters") from None
    token = token_in(content)
    signature = signature_of(status)
    return (signature if signature.is_settled else None), token
