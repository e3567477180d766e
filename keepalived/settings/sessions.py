"""The sessions that a file names, each checked by itself: a bad one never stops the others."""

from __future__ import annotations

import difflib
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
_WHOLE: tuple[Path, ...] = ((), (_SESSIONS,))
"""Where a flaw leaves nothing that is certain."""

_MOST_FLAWS = 20
"""That are said of one entry."""

_MOST_KEYS = 100
"""Of an entry: to list what is wrong with each of very many would stop all other threads."""

_MOST_PROBLEMS = 200
"""That are said of one file, a little more where an entry has several; the others are counted."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The fields of a SessionEntry other than those that name the session.

    Entries that say the same share one object, as most do where there are very many.
    """

    progress: int | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    path: FilePath | None = None
    token_file: FilePath | None = None
    max_lifetime: float | None = None
    note: str = ""

    def known_progress(self, size: int | None = None) -> Progress:
        """Return how far the transfer has come, as far as the entry says.

        `size` is that of the file at `path` in bytes, None if it is not known. A file that is
        smaller than `bytes_done` is still being written: its size is not the total.
        """
        if self.path is None:
            return Progress(self.progress, self.bytes_done, self.bytes_total)
        if size is None or size < (self.bytes_done or 0):
            return Progress(done=self.bytes_done)
        return Progress(done=self.bytes_done, total=size)


class SessionEntry(Strict):
    """One session to keep alive."""

    id: Annotated[str, After(check_session_id)]
    """Id of the session, as the server gave it."""

    vcenter: str | None = None
    """Name of the vCenter that has it; needed only where there are several."""

    kind: Kind = Kind.UPDATE
    """Whether it is an update or a download session."""

    progress: Annotated[int, Range(0, 100)] | None = None
    """Progress in percent, or else bytes_done and bytes_total."""

    bytes_done: Annotated[int, Range(0, LARGEST_INTEGER)] | None = None
    """Bytes transferred so far."""

    bytes_total: Annotated[int, Range(0, LARGEST_INTEGER)] | None = None
    """Bytes there are to transfer."""

    path: PathOfFile | None = None
    """The local file that is transferred: its size is the total, followed while it grows."""

    token_file: PathOfFile | None = None
    """File with the uploader's own API token. It is read again when it changes."""

    max_lifetime: PositiveDuration | None = None
    """How long this line holds the session at most (7d)."""

    note: str = ""
    """Whatever helps people to know what this is."""

    @checks("bytes_done", "bytes_total")
    @staticmethod
    def _percent_or_bytes(value: int, earlier: Earlier) -> int:
        if earlier.get("progress") is not None:
            raise ValueError("progress is given as well; give progress in percent or in bytes")
        done = earlier.get("bytes_done")
        if done is not None and done > value:
            raise ValueError(f"{value} is less than the {done} of bytes_done")
        return value

    @checks("path")
    @staticmethod
    def _one_total(value: FilePath, earlier: Earlier) -> FilePath:
        others = [name for name in ("progress", "bytes_total") if earlier.get(name) is not None]
        if others:
            raise ValueError(f"{others[0]} is given as well; the size of this file is the total")
        return value

    @property
    def options(self) -> SessionOptions:
        """What the entry says, other than which session it means."""
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
    """Where an entry names files, for messages: the file, the line and the field."""

    path: str = ""
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """What a file says about sessions: the good entries, and what is wrong with the others.

    `doubtful_ids` are the session ids in bad entries: what is wanted of them is not known.
    `locations` are those of the good entries that name files.
    """

    entries: tuple[tuple[SessionKey, SessionEntry], ...] = ()
    problems: tuple[Problem, ...] = ()
    doubtful_ids: frozenset[str] = frozenset()
    locations: Mapping[SessionKey, SourceLocations] = field(default_factory=dict)


def read_sessions(path: FilePath, vcenters: Sequence[str], *, alone: bool = True) -> SessionFile:
    """Return the sessions that a file names. Raises ConfigError if the file as a whole is bad.

    `vcenters` are the names of the vCenters there are. `alone` says that the file may hold nothing
    but sessions; a configuration holds more, which is not looked at.
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
    """Return what stands below `sessions:`, and a problem for each key that is not known.

    Raises ConfigError if the file as a whole is bad.
    """
    file, data = document.file, document.data
    if data is None:
        words = "the file is empty; one without sessions says `sessions: []`"
        raise ConfigError([Problem(file, None, "", words)])
    if not isinstance(data, dict):
        words = (
            f"holds {kind_of(data)}; begin it with `sessions:` and list them below, each with '- '"
        )
        raise ConfigError([document.problem((), words)])
    if alone and _SESSIONS not in data:
        words = "no `sessions:` in here; a file without sessions says `sessions: []`"
        raise ConfigError([Problem(file, None, "", words)])
    whole = [document.flaw_problem(each) for each in document.flaws if each.path in _WHOLE]
    if whole:
        raise ConfigError(whole)
    unknown = [key for key in data if key != _SESSIONS] if alone else []
    problems = [
        document.problem((key,), "is not known here; a session file holds `sessions:` alone")
        for key in unknown[:_MOST_FLAWS]
    ]
    if len(unknown) > _MOST_FLAWS:
        words = f"{len(unknown) - _MOST_FLAWS} more keys are not known here"
        problems.append(Problem(file, None, "", words))
    return data.get(_SESSIONS), problems


def check_sessions(document: Document, listed: object, vcenters: Sequence[str]) -> SessionFile:
    """Check each entry of a `sessions:` list. Raises ConfigError if it is none."""
    if listed is None:
        return SessionFile()
    if not isinstance(listed, list):
        words = f"must be a list, one '- ' a session, not {kind_of(listed)}"
        raise ConfigError([document.problem((_SESSIONS,), words)])
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
                words = f"has {len(raw)} keys; a session has no more than ten"
                found = [document.problem(path, words)]
            else:
                entry = validate(SessionEntry, raw, folder)
                key = session_key(entry, vcenters)
                first = place if found else entries.setdefault(key, (entry, place))[1]
                if first != place:
                    line = document.line_of((_SESSIONS, first))
                    found = [document.problem(path, f"the same session as on line {line}")]
        except Invalid as error:
            found = found + problems_of(error, document, path)
            found = found or [document.problem(path, "an alias ('*') to what cannot be read")]
        except _VCenterUnclear as error:
            found = [*found, document.problem((*path, "vcenter"), str(error))]
        except Exception as error:
            # Whatever it is, it is about this entry alone.
            words = f"this entry cannot be understood ({type(error).__name__})"
            found = [*found, document.problem(path, words)]
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


class _VCenterUnclear(ValueError):
    pass


def session_key(entry: SessionEntry, vcenters: Sequence[str]) -> SessionKey:
    """Return which session an entry means. Raises ValueError if it does not say in which vCenter.

    `vcenters` are the names of those there are; where there is but one, it need not be named.
    """
    name = entry.vcenter
    if name is None and len(vcenters) == 1:
        name = vcenters[0]
    if name is None:
        raise _VCenterUnclear(f"is missing; say which has the session: {', '.join(vcenters)}")
    if name not in vcenters:
        near = difflib.get_close_matches(name, vcenters, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(vcenters)}"
        raise _VCenterUnclear(f"there is no vCenter {name!r}; {hint}")
    return SessionKey(name, entry.kind, entry.id)


def _flaws_by_place(document: Document) -> dict[int, list[Problem]]:
    """Return the first flaws of each entry as problems, by the entry's place."""
    found: dict[int, list[Problem]] = {}
    for flaw in document.flaws:
        if len(flaw.path) > 1 and flaw.path[0] == _SESSIONS and isinstance(flaw.path[1], int):
            problems = found.setdefault(flaw.path[1], [])
            if len(problems) < _MOST_FLAWS:
                problems.append(document.flaw_problem(flaw))
    return found
