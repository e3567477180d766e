"""One look at the files that name sessions: which are there, which changed, and what they say.

All of it blocks, on a network file system perhaps for long, and so runs in a thread. It touches
nothing that the event loop works on: what is known goes in, what is new comes out.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from keepalived.lease.model import SessionKey
from keepalived.settings import (
    ConfigError,
    Line,
    Problem,
    SessionEntry,
    SessionFile,
    Settings,
    session_key,
)
from keepalived.settings.files import Signature, read, signature_of, why_unreadable
from keepalived.settings.problems import Spot
from keepalived.settings.sessions import FILE_FIELDS, Spots, parse_sessions
from keepalived.sources.attempts import Attempt, HangsError
from keepalived.sources.changes import Changes, Entries, compare
from keepalived.sources.named_files import SETTLED_NS, Seen, look

IN_THE_SETTINGS = "configuration"
"""The name of the sessions in settings that came from no file."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was seen of a file, and made of it.

    `entries` are in effect; `missed` those among them that the last look did not find;
    `signature` is None where the file is to be read even if it seems unchanged. `bad` is what is
    wrong with the file, `spots` where it names others, and `seen` what was seen of those.
    """

    signature: Signature | None = None
    digest: bytes = b""
    entries: Entries = field(default_factory=dict)
    missed: frozenset[SessionKey] = frozenset()
    bad: tuple[str, ...] = ()
    spots: Spots = field(default_factory=dict)
    seen: Mapping[SessionKey, Seen] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong, in the file and with the files that it names."""
        named = (
            str(self.spots[key, name].problem(words))
            for key, seen in self.seen.items()
            for name, words in seen.problems
        )
        return (*self.bad, *named)


@dataclass(frozen=True, slots=True)
class News:
    """What is new about a file. `known` is None once nothing is left of it.

    `updated` are the entries that stay, and of whose files there is news. `tokens` are those that
    were read, None for one that cannot be had; whoever is not among them has what he had.
    """

    path: str
    known: Known | None
    changes: Changes | None = None
    updated: tuple[SessionKey, ...] = ()
    tokens: Mapping[SessionKey, str | None] = field(default_factory=dict, repr=False)

    def entry(self, key: SessionKey) -> Line:
        """Return what an entry says that is in effect."""
        return (self.known or Known()).entries[key]

    def seen(self, key: SessionKey) -> Seen:
        """Return what was seen of the files that an entry names."""
        return (self.known or Known()).seen.get(key, Seen())


@dataclass(frozen=True, slots=True)
class Survey:
    """Where to look. `config` is the file that the settings came from, whose sessions count too.

    `afresh` says that the settings are new: all is read once more, and what is missing now is not
    waited for.
    """

    settings: Settings
    config: Path | None
    afresh: bool
    attempt: Attempt = field(default_factory=Attempt)
    """What is told of each step that may hang."""

    def news(self, known: Mapping[str, Known]) -> list[News]:
        """Return what is new about each file, in the order of their paths."""
        found, hanging = self._listed(known)
        if not self.afresh or hanging:
            # A folder that cannot be listed for a moment is no reason to let everything go.
            found |= known.keys()
        found -= {IN_THE_SETTINGS, *hanging}
        news = {path: self._look_at(path, known.get(path, Known())) for path in sorted(found)}
        news |= hanging
        if self.config is None:
            before = known.get(IN_THE_SETTINGS, Known())
            news[IN_THE_SETTINGS] = self._look_at_settings(before) if self.afresh else None
        if self.afresh:
            forgotten = known.keys() - found - {IN_THE_SETTINGS, *hanging}
            news |= {path: self._gone(path, known[path]) for path in sorted(forgotten)}
        with_files = [
            self._look_at_named_files(path, known.get(path, Known()), each)
            for path, each in news.items()
        ]
        return [each for each in with_files if each is not None]

    @property
    def _vcenters(self) -> tuple[str, ...]:
        return tuple(self.settings.vcenters)

    def _listed(self, known: Mapping[str, Known]) -> tuple[set[str], dict[str, News | None]]:
        """Return the files that the patterns match, and of those that hang what there is to say."""
        paths = set() if self.config is None else {str(self.config)}
        hanging: dict[str, News | None] = {}
        for pattern in self.settings.session_files:
            try:
                with self.attempt.at(pattern):
                    paths.update(glob.glob(pattern, recursive=True))
            except HangsError as error:
                before = known.get(pattern, Known())
                hanging[pattern] = self._hangs(pattern, before, error)
        return paths, hanging

    def _look_at(self, path: str, known: Known) -> News | None:
        """Look at one file. Whatever that raises is a problem of this file alone."""
        try:
            return self._read(path, known)
        except HangsError as error:
            return self._hangs(path, known, error)
        except Exception as error:
            words = f"it cannot be understood ({type(error).__name__}); please report it"
            return self._unreadable(path, known, words)

    def _read(self, path: str, known: Known) -> News | None:
        try:
            with self.attempt.at(path):
                status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return self._gone(path, known)
        except OSError as error:
            return self._unreadable(path, known, why_unreadable(error))
        if stat.S_ISDIR(status.st_mode):  # a pattern may match these as well
            return self._gone(path, known)
        if not stat.S_ISREG(status.st_mode):
            return self._unreadable(
                path, known, "it is no regular file, but a pipe, socket or device"
            )
        if signature_of(status) == known.signature and not self.afresh and not known.missed:
            return None
        try:
            with self.attempt.at(path):
                content, signature = read(path)
        except ConfigError as error:
            return self._failed(path, _unread(known), error.problems)
        settled = abs(time.time_ns() - signature.modified_ns) > SETTLED_NS
        seen = replace(known, signature=signature if settled else None)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest == known.digest and not self.afresh and not known.missed:
            return News(path, seen)
        seen = replace(seen, digest=digest)
        try:
            said = parse_sessions(path, content, self._vcenters, alone=path != str(self.config))
        except ConfigError as error:
            return self._failed(path, seen, error.problems)
        changes = self._compared(seen, self._wanted(said, known))
        after = _after(seen, changes, said.problems, said.spots)
        return News(path, after, changes)

    def _hangs(self, path: str, known: Known, error: HangsError) -> News | None:
        """Let everything be as it was, and say so once it is certain that nothing is to be had."""
        return self._unreadable(path, known, str(error)) if error.is_certain else None

    def _look_at_settings(self, known: Known) -> News:
        vcenters = self._vcenters
        wanted = _shared((session_key(each, vcenters), each) for each in self.settings.sessions)
        changes = self._compared(known, wanted)
        spots = {
            (key, name): Spot(IN_THE_SETTINGS, None, f"sessions: {key.id}: {name}")
            for key in wanted
            for name in FILE_FIELDS
        }
        return News(IN_THE_SETTINGS, _after(known, changes, (), spots), changes)

    def _look_at_named_files(self, path: str, before: Known, news: News | None) -> News | None:
        """Add to the news of a file those of the files that its entries name."""
        known = before if news is None else news.known
        if known is None or not (known.spots or known.seen):
            return news
        changes = news.changes if news else None
        changed = {*changes.taken, *changes.updated} if changes else set()
        seen: dict[SessionKey, Seen] = {}
        tokens: dict[SessionKey, str | None] = {}
        updated: list[SessionKey] = []
        for key in dict.fromkeys(key for key, _ in known.spots):
            was = known.seen.get(key, Seen())
            found = look(
                known.entries[key], was, again=self.afresh or key in changed, attempt=self.attempt
            )
            seen[key] = found.seen
            if found.is_read:
                tokens[key] = found.token
            if key not in changed and (found.is_read or found.seen.size != was.size):
                updated.append(key)
        if news is None and not updated and seen == known.seen:
            return None
        return News(path, replace(known, seen=seen), changes, tuple(updated), tokens)

    def _wanted(self, said: SessionFile, known: Known) -> Entries:
        """Return the good entries, and those that were good before and now are not."""
        wanted = _shared(said.entries)
        if said.doubtful_ids:
            for key, entry in self._kept(known).items():
                if key.id in said.doubtful_ids:
                    wanted.setdefault(key, entry)
        return wanted

    def _kept(self, known: Known) -> Entries:
        """Return the last good entries, but for those of vCenters that are there no more."""
        vcenters = self.settings.vcenters
        if all(key.vcenter in vcenters for key in known.entries):
            return known.entries
        return {key: entry for key, entry in known.entries.items() if key.vcenter in vcenters}

    def _compared(self, seen: Known, wanted: Entries) -> Changes:
        return compare(seen.entries, wanted, seen.missed, certain=self.afresh)

    def _failed(self, path: str, seen: Known, problems: tuple[Problem, ...]) -> News:
        """The last good content stays, and so does what is known to be missing from it."""
        changes = self._compared(seen, self._kept(seen))
        after = _after(seen, changes, problems)
        return News(path, replace(after, missed=seen.missed & changes.applied.keys()), changes)

    def _unreadable(self, path: str, known: Known, why: str) -> News:
        problem = Problem(path, None, "", why)
        return self._failed(path, _unread(known), (problem,))

    def _gone(self, path: str, known: Known) -> News:
        if path == str(self.config):
            return self._unreadable(path, known, "the file is gone; its sessions are kept")
        changes = self._compared(known, {})
        after = _after(_unread(known), changes, ())
        return News(path, after if after.missed else None, changes)


def _shared(entries: Iterable[tuple[SessionKey, SessionEntry]]) -> dict[SessionKey, Line]:
    """Return what entries say, in one place for all that say the same.

    The ids that were read lie scattered over all the memory that reading needed, which could not be
    given back while they are there: 110 MiB for 100,000 entries. Copies lie together.
    """
    lines: dict[Line, Line] = {}
    said = ((key._replace(id=_copy(key.id)), entry.line) for key, entry in entries)
    return {key: lines.setdefault(line, line) for key, line in said}


def _copy(text: str) -> str:
    return text.encode().decode()


def _unread(known: Known) -> Known:
    """Return what is known such that the file will be read again, whatever it says then."""
    return replace(known, signature=None, digest=b"")


def _after(
    known: Known, changes: Changes, problems: tuple[Problem, ...], spots: Spots | None = None
) -> Known:
    """Return what is known once the changes are made. `spots` are new ones, where there are any."""
    entries = changes.applied
    return replace(
        known,
        entries=entries,
        missed=changes.missed,
        bad=tuple(map(str, problems)),
        spots={
            (key, name): spot
            for (key, name), spot in {**known.spots, **(spots or {})}.items()
            if key in entries and getattr(entries[key], name) is not None
        },
    )
