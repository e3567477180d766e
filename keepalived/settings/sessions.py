"""The sessions that a file names, each checked by itself: a bad one never stops the others."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Annotated

from keepalived.lease.holds import OwnerKind, latest_until
from keepalived.lease.model import Kind, SessionKey, check_session_id
from keepalived.lease.progress import Progress
from keepalived.settings import files
from keepalived.settings.base import LARGEST_INTEGER, PositiveDuration, Strict
from keepalived.settings.base import FilePath as PathOfFile
from keepalived.settings.document import Document, garbage_collection_paused, parse
from keepalived.settings.problems import ConfigError, Path, Problem, Spot
from keepalived.settings.wording import problems_of
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
class Line:
    """What an entry says, besides of which session: the same of most, where there are very many.

    The fields are those of SessionEntry.
    """

    progress: int | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    path: FilePath | None = None
    token_file: FilePath | None = None
    max_lifetime: float | None = None
    note: str = ""

    def known_progress(self, size: int | None = None) -> Progress:
        """Return how far the transfer has come, as far as this line says.

        `size` is that of the file at `path`, where it could be seen. A file that is smaller than
        what is done of it is still being written: then it says nothing.
        """
        if self.path is None:
            return Progress(self.progress, self.bytes_done, self.bytes_total)
        if size is None or size < (self.bytes_done or 0):
            return Progress(done=self.bytes_done)
        return Progress(done=self.bytes_done, total=size)

    def latest_until(self, since: float) -> float:
        """Return when a hold ends at the latest that this line took at `since`."""
        return latest_until(OwnerKind.FILE, since, self.max_lifetime)


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
    def line(self) -> Line:
        """What is said here, besides of which session."""
        return Line(
            self.progress,
            self.bytes_done,
            self.bytes_total,
            self.path,
            self.token_file,
            self.max_lifetime,
            self.note,
        )


Spots = Mapping[tuple[SessionKey, str], Spot]
FILE_FIELDS = ("path", "token_file")
"""The fields of an entry that name files, which are looked at time and again."""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """What a file says about sessions: the good entries, and what is wrong with the others.

    `doubtful_ids` are the session ids that stand in bad entries: what is wanted of them is not
    known. `spots` say where good entries name files, by session and field.
    """

    entries: tuple[tuple[SessionKey, SessionEntry], ...] = ()
    problems: tuple[Problem, ...] = ()
    doubtful_ids: frozenset[str] = frozenset()
    spots: Spots = field(default_factory=dict)


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
    with garbage_collection_paused():
        return _parse(file, content, vcenters, alone)


def _parse(file: str, content: bytes, vcenters: Sequence[str], alone: bool) -> SessionFile:
    document = parse(file, content)
    try:
        return _checked(document, vcenters, alone)
    finally:
        document.drop()


def _checked(document: Document, vcenters: Sequence[str], alone: bool) -> SessionFile:
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
    checked = check_sessions(document, data.get(_SESSIONS), vcenters)
    if not alone:
        return checked
    unknown = [key for key in data if key != _SESSIONS]
    problems = [
        document.problem((key,), "is not known here; a session file holds `sessions:` alone")
        for key in unknown[:_MOST_FLAWS]
    ]
    if len(unknown) > _MOST_FLAWS:
        words = f"{len(unknown) - _MOST_FLAWS} more keys are not known here"
        problems.append(Problem(document.file, None, "", words))
    return replace(checked, problems=(*problems, *checked.problems))


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
                raise _TooManyKeys(f"has {len(raw)} keys; a session has no more than ten")
            entry = validate(SessionEntry, raw, folder)
            key = session_key(entry, vcenters)
            if not found:
                first = entries.setdefault(key, (entry, place))[1]
                if first != place:
                    line = document.line_of((_SESSIONS, first))
                    found = [document.problem(path, f"the same session as on line {line}")]
        except Invalid as error:
            found = found + problems_of(error, document, path)
            found = found or [document.problem(path, "an alias ('*') to what cannot be read")]
        except _TooManyKeys as error:
            found = [document.problem(path, str(error))]
        except _VCenterUnclear as error:
            found = [*found, document.problem((*path, "vcenter"), str(error))]
        except Exception as error:
            # Whatever it is, it is about this entry alone.
            words = f"this entry cannot be understood ({type(error).__name__})"
            found = [*found, document.problem(path, words)]
        if found:
            doubtful |= _id_in(raw)
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
            (key, name): document.spot((_SESSIONS, place, name))
            for key, (entry, place) in entries.items()
            for name in FILE_FIELDS
            if getattr(entry, name) is not None
        },
    )


class _TooManyKeys(ValueError):
    pass


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


def _id_in(raw: object) -> set[str]:
    named = raw.get("id") if isinstance(raw, dict) else raw
    return {named} if isinstance(named, str) else set()
