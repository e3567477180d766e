"""Reads the `sessions:` list of a file. A bad entry does not affect the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Annotated, NamedTuple

from keepalived.host.gc_tuning import gc_paused
from keepalived.lease.model import Kind, SessionKey, check_session_id
from keepalived.lease.progress import Progress
from keepalived.settings import files
from keepalived.settings.base import LARGEST_INTEGER, PositiveDuration, Strict
from keepalived.settings.base import FilePath as PathOfFile
from keepalived.settings.document import Document, parse
from keepalived.settings.messages import problems_of
from keepalived.settings.problems import ConfigError, Path, Problem
from keepalived.validation import After, Earlier, Invalid, Range, checks, validate
from keepalived.validation.problems import kind_of

_SESSIONS = "sessions"
_FATAL_PLACES: tuple[Path, ...] = ((), (_SESSIONS,))
"""A flaw at one of these places makes the whole file unusable."""

_MOST_FLAWS = 20
"""The most flaws reported for one entry."""

_MOST_KEYS = 100
"""The most keys of one entry. Reporting each of very many keys would block all other threads."""

_MOST_PROBLEMS = 200
"""The most problems reported for one file, or a few more if an entry has several. The others are
counted."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The fields of a SessionEntry except those that identify the session.

    Entries with equal options share one object. In large files most entries do.
    """

    progress: int | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    path: FilePath | None = None
    token_file: FilePath | None = None
    max_lifetime: float | None = None
    note: str = ""

    def known_progress(self, size: int | None = None) -> Progress:
        """Return the progress of the transfer that the entry gives.

        `size` is the size in bytes of the file at `path`, None if unknown. A file smaller than
        `bytes_done` is still being written, so its size is not the total.
        """
        if self.path is None:
            return Progress(self.progress, self.bytes_done, self.bytes_total)
        if size is None or size < (self.bytes_done or 0):
            return Progress(done=self.bytes_done)
        return Progress(done=self.bytes_done, total=size)


class SessionEntry(Strict):
    """One session to keep alive."""

    id: Annotated[str, After(check_session_id)]
    """Id of the session, as the server returned it."""

    vcenter: str | None = None
    """Name of the session's vCenter. Required only if there are several vCenters."""

    kind: Kind = Kind.UPDATE
    """Whether it is an update or a download session."""

    progress: Annotated[int, Range(0, 100)] | None = None
    """Progress in percent. The alternative is bytes_done and bytes_total."""

    bytes_done: Annotated[int, Range(0, LARGEST_INTEGER)] | None = None
    """Bytes transferred so far."""

    bytes_total: Annotated[int, Range(0, LARGEST_INTEGER)] | None = None
    """Total bytes to transfer."""

    path: PathOfFile | None = None
    """The local file being transferred. Its size is the total, and is updated while it grows."""

    token_file: PathOfFile | None = None
    """File with the uploader's own API token. It is read again after each change."""

    max_lifetime: PositiveDuration | None = None
    """The longest time that this entry holds the session. Default: 7d."""

    note: str = ""
    """Free text that tells people what this session is."""

    @checks("bytes_done", "bytes_total")
    @staticmethod
    def _percent_or_bytes(value: int, earlier: Earlier) -> int:
        if earlier.get("progress") is not None:
            raise ValueError("progress is given as well; give either a percentage or bytes")
        done = earlier.get("bytes_done")
        if done is not None and done > value:
            raise ValueError(f"{value} is less than bytes_done ({done})")
        return value

    @checks("path")
    @staticmethod
    def _one_total(value: FilePath, earlier: Earlier) -> FilePath:
        others = [name for name in ("progress", "bytes_total") if earlier.get(name) is not None]
        if others:
            raise ValueError(
                f"{others[0]} is given as well; remove it, as the size of this file is the total"
            )
        return value

    @property
    def options(self) -> SessionOptions:
        """All fields except those that identify the session."""
        return SessionOptions(
            self.progress,
            self.bytes_done,
            self.bytes_total,
            self.path,
            self.token_file,
            self.max_lifetime,
            self.note,
        )


class SourceLocations(NamedTuple):
    """Where an entry names files, as a prefix of messages: source file, line and field."""

    path: str = ""
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """The sessions in a file: the valid entries, and the problems with the others.

    `doubtful_ids` are the session ids in bad entries, whose intent is not known.
    `locations` has the valid entries that name files.
    """

    entries: tuple[tuple[SessionKey, SessionEntry], ...] = ()
    problems: tuple[Problem, ...] = ()
    doubtful_ids: frozenset[str] = frozenset()
    locations: Mapping[SessionKey, SourceLocations] = field(default_factory=dict)


def read_sessions(path: FilePath, vcenters: Sequence[str], *, alone: bool = True) -> SessionFile:
    """Return the sessions in a file. Raises ConfigError if the file as a whole is invalid.

    `vcenters` are the names of the configured vCenters. With `alone`, the file may contain only
    sessions; other keys of a configuration are ignored without it.
    """
    content, _ = files.read(str(path))
    return parse_sessions(str(path), content, vcenters, alone=alone)


def parse_sessions(
    file: str, content: bytes, vcenters: Sequence[str], *, alone: bool = True
) -> SessionFile:
    """Return the sessions in the content of a file. Raises ConfigError as `read_sessions` does."""
    with gc_paused():
        document = parse(file, content)
        try:
            listed, problems = _top_level(document, alone)
            checked = check_sessions(document, listed, vcenters)
            return replace(checked, problems=(*problems, *checked.problems))
        finally:
            document.drop()


def _top_level(document: Document, alone: bool) -> tuple[object, list[Problem]]:
    """Return the value of `sessions:`, and a problem for each unknown key.

    Raises ConfigError if the file as a whole is invalid.
    """
    file, data = document.file, document.data
    if data is None:
        message = "the file is empty; write `sessions: []` if there are no sessions"
        raise ConfigError([Problem(file, None, "", message)])
    if not isinstance(data, dict):
        message = (
            f"contains {kind_of(data)}; begin it with `sessions:`, and list the sessions below it, "
            "each with '- '"
        )
        raise ConfigError([document.problem((), message)])
    if alone and _SESSIONS not in data:
        message = "`sessions:` is missing; write `sessions: []` if there are no sessions"
        raise ConfigError([Problem(file, None, "", message)])
    whole = [document.flaw_problem(each) for each in document.flaws if each.path in _FATAL_PLACES]
    if whole:
        raise ConfigError(whole)
    unknown = [key for key in data if key != _SESSIONS] if alone else []
    problems = [
        document.problem((key,), "is not a known key; a session file contains only `sessions:`")
        for key in unknown[:_MOST_FLAWS]
    ]
    if len(unknown) > _MOST_FLAWS:
        message = f"{len(unknown) - _MOST_FLAWS} more unknown keys"
        problems.append(Problem(file, None, "", message))
    return data.get(_SESSIONS), problems


def check_sessions(document: Document, listed: object, vcenters: Sequence[str]) -> SessionFile:
    """Check each entry of a `sessions:` list. Raises ConfigError if it is not a list."""
    if listed is None:
        return SessionFile()
    if not isinstance(listed, list):
        message = f"must be a list, with one '- ' for each session, not {kind_of(listed)}"
        raise ConfigError([document.problem((_SESSIONS,), message)])
    entries: dict[SessionKey, tuple[SessionEntry, int]] = {}
    problems: list[Problem] = []
    omitted = 0
    doubtful: set[str] = set()
    folder = FilePath(document.file).absolute().parent
    flaws = _flaws_by_place(document)
    for place, raw in enumerate(listed):
        path: Path = (_SESSIONS, place)
        found = flaws.get(place, [])
        try:
            if isinstance(raw, dict) and len(raw) > _MOST_KEYS:
                message = f"has {len(raw)} keys; a session has at most ten"
                found = [document.problem(path, message)]
            else:
                entry = validate(SessionEntry, raw, folder)
                key = session_key(entry, vcenters)
                first = place if found else entries.setdefault(key, (entry, place))[1]
                if first != place:
                    line = document.line_of((_SESSIONS, first))
                    found = [document.problem(path, f"is the same session as on line {line}")]
        except Invalid as error:
            found = found + problems_of(error, document, path)
            found = found or [
                document.problem(path, "an alias ('*') refers to a value that cannot be read")
            ]
        except _UnclearVCenterError as error:
            found = [*found, document.problem((*path, "vcenter"), str(error))]
        except Exception as error:
            # Any error concerns this entry alone.
            message = f"cannot be read because of an unexpected {type(error).__name__}"
            found = [*found, document.problem(path, message)]
        if found:
            named = raw.get("id") if isinstance(raw, dict) else raw
            if isinstance(named, str):
                doubtful.add(named)
            if len(problems) < _MOST_PROBLEMS:
                problems += found
            else:
                omitted += len(found)
    if omitted:
        problems.append(Problem(document.file, None, "", f"{omitted} more problems"))
    return SessionFile(
        tuple((key, entry) for key, (entry, _) in entries.items()),
        tuple(problems),
        frozenset(doubtful),
        {
            key: SourceLocations(
                **{
                    name: str(document.problem((_SESSIONS, place, name), ""))
                    for name in SourceLocations._fields
                    if getattr(entry, name) is not None
                }
            )
            for key, (entry, place) in entries.items()
            if entry.path or entry.token_file
        },
    )


class _UnclearVCenterError(ValueError):
    pass


def session_key(entry: SessionEntry, vcenters: Sequence[str]) -> SessionKey:
    """Return the key of an entry's session. Raises ValueError if its vCenter is missing or unknown.

    `vcenters` are the configured names. If there is only one, an entry need not name it.
    """
    name = entry.vcenter
    if name is None and len(vcenters) == 1:
        name = vcenters[0]
    if name is None:
        raise _UnclearVCenterError(
            f"is missing; name the vCenter of the session: {', '.join(vcenters)}"
        )
    if name not in vcenters:
        import difflib  # for mistakes only

        near = difflib.get_close_matches(name, vcenters, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"configured: {', '.join(vcenters)}"
        raise _UnclearVCenterError(f"there is no vCenter {name!r}; {hint}")
    return SessionKey(name, entry.kind, entry.id)


def _flaws_by_place(document: Document) -> dict[int, list[Problem]]:
    """Return the first flaws of each entry as problems, by the entry's index."""
    found: dict[int, list[Problem]] = {}
    for flaw in document.flaws:
        if len(flaw.path) > 1 and flaw.path[0] == _SESSIONS and isinstance(flaw.path[1], int):
            problems = found.setdefault(flaw.path[1], [])
            if len(problems) < _MOST_FLAWS:
                problems.append(document.flaw_problem(flaw))
    return found
