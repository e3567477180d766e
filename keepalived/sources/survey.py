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
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from keepalived.lease.model import SessionKey
from keepalived.settings import ConfigError, Problem, SessionFile, Settings, session_key
from keepalived.settings.files import Signature, read, signature_of, why_unreadable
from keepalived.settings.sessions import parse_sessions
from keepalived.sources.changes import Changes, Entries, compare

_SETTLED_NS = 2_000_000_000
"""How old a file's time stamp is before a later write must show in it: two seconds, as coarse as
file systems count."""

IN_THE_SETTINGS = "configuration"
"""The name of the sessions in settings that came from no file."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was seen of a file, and made of it.

    `entries` are in effect; `missed` those among them that the last look did not find;
    `signature` is None where the file is to be read even if it seems unchanged.
    """

    signature: Signature | None = None
    digest: bytes = b""
    entries: Entries = field(default_factory=dict)
    missed: frozenset[SessionKey] = frozenset()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What is new about a file. `known` is None once nothing is left of it."""

    path: str
    known: Known | None
    changes: Changes | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """Where to look. `config` is the file that the settings came from, whose sessions count too.

    `afresh` says that the settings are new: all is read once more, and what is missing now is not
    waited for.
    """

    settings: Settings
    config: Path | None
    afresh: bool

    def news(self, known: Mapping[str, Known]) -> list[News]:
        """Return what is new about each file, in the order of their paths."""
        found = self._listed()
        if not self.afresh:
            # A folder that cannot be listed for a moment is no reason to let everything go.
            found |= known.keys()
        found.discard(IN_THE_SETTINGS)
        news = [self._look_at(path, known.get(path, Known())) for path in sorted(found)]
        if self.afresh:
            if self.config is None:
                news.append(self._look_at_settings(known.get(IN_THE_SETTINGS, Known())))
            forgotten = known.keys() - found - {IN_THE_SETTINGS}
            news += [self._gone(path, known[path]) for path in sorted(forgotten)]
        return [each for each in news if each is not None]

    @property
    def _vcenters(self) -> tuple[str, ...]:
        return tuple(self.settings.vcenters)

    def _listed(self) -> set[str]:
        paths = {
            path
            for pattern in self.settings.session_files
            for path in glob.glob(pattern, recursive=True)
        }
        return paths if self.config is None else paths | {str(self.config)}

    def _look_at(self, path: str, known: Known) -> News | None:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return self._gone(path, known)
        except OSError as error:
            return self._unreadable(path, known, why_unreadable(error))
        if not stat.S_ISREG(status.st_mode):
            return self._gone(path, known)
        if signature_of(status) == known.signature and not self.afresh and not known.missed:
            return None
        try:
            content, signature = read(path)
        except ConfigError as error:
            return self._failed(path, _unread(known), error.problems)
        settled = abs(time.time_ns() - signature.modified_ns) > _SETTLED_NS
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
        return News(path, _after(seen, changes, said.problems), changes)

    def _look_at_settings(self, known: Known) -> News:
        vcenters = self._vcenters
        wanted = {session_key(each, vcenters): each for each in self.settings.sessions}
        changes = self._compared(known, wanted)
        return News(IN_THE_SETTINGS, _after(known, changes, ()), changes)

    def _wanted(self, said: SessionFile, known: Known) -> Entries:
        """Return the good entries, and those that were good before and now are not."""
        wanted = dict(said.entries)
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


def _unread(known: Known) -> Known:
    """Return what is known such that the file will be read again, whatever it says then."""
    return replace(known, signature=None, digest=b"")


def _after(seen: Known, changes: Changes, problems: tuple[Problem, ...]) -> Known:
    return replace(
        seen,
        entries=changes.applied,
        missed=changes.missed,
        problems=tuple(map(str, problems)),
    )
