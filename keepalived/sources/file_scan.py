"""Scans the files that name sessions: which exist, which have changed, and what they contain.

A scan may block for long on a network file system, so it runs in a thread. It shares no state with
the event loop: it takes states and returns changes.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from keepalived.lease.model import SessionKey
from keepalived.settings import (
    ConfigError,
    Problem,
    SessionEntry,
    SessionOptions,
    Settings,
    session_key,
)
from keepalived.settings.files import read, signature_of, why_unreadable
from keepalived.settings.sessions import SourceLocations, parse_sessions
from keepalived.sources.attempts import Attempt, HangsError
from keepalived.sources.changes import FileChange, FileState, reconcile
from keepalived.sources.named_files import NamedFiles, check_files

IN_THE_SETTINGS = "configuration"
"""Stands in for the path of sessions in settings that came from no file."""


@dataclass(frozen=True, slots=True)
class FileScan:
    """One scan: the files to read, and their states after the previous scan.

    `config` is the file that the settings came from, whose sessions count, too. `afresh` means that
    the settings are new: every file is read again, and missing entries are released at once.
    """

    settings: Settings
    config: Path | None
    states: Mapping[str, FileState]
    afresh: bool
    attempt: Attempt = field(default_factory=Attempt)
    """Receives a report of each step that may hang."""

    def run(self) -> list[FileChange]:
        """Return the change of each changed file, in the order of their paths."""
        found = self._find()
        changes = []
        for path in sorted(found | self.states.keys()):
            before = self.states.get(path, FileState())
            change = self._scan_file(path, before, path in found)
            change = self._scan_named_files(path, before, change)
            if change is not None:
                changes.append(change)
        return changes

    def _find(self) -> set[str]:
        """Return the paths that the settings match, and the patterns that hang.

        All known paths count as found, too, unless the settings are new: the files of a folder that
        cannot be listed for a moment must not be released.
        """
        found = {IN_THE_SETTINGS if self.config is None else str(self.config)}
        is_complete = True
        for pattern in self.settings.session_files:
            try:
                with self.attempt.at(pattern):
                    found.update(glob.glob(pattern, recursive=True))
            except HangsError:
                found.add(pattern)
                is_complete = False
        return found if self.afresh and is_complete else found | self.states.keys()

    def _scan_file(self, path: str, before: FileState, is_found: bool) -> FileChange | None:
        """Scan one file. Any exception is a problem of this file alone."""
        problems: Sequence[Problem]
        try:
            if not is_found:
                return self._missing(path, before)
            if path == IN_THE_SETTINGS and self.config is None:
                return self._scan_settings(before) if self.afresh else None
            return self._read(path, before)
        except HangsError as error:
            if not error.is_certain:
                return None
            problems = [Problem(path, None, "", str(error))]
        except ConfigError as error:
            problems = error.problems
        except OSError as error:
            problems = [Problem(path, None, "", why_unreadable(error))]
        except Exception as error:
            message = (
                f"cannot be read because of an unexpected {type(error).__name__}; please report it"
            )
            problems = [Problem(path, None, "", message)]
        return self._failed(path, replace(before, signature=None, digest=b""), problems)

    def _read(self, path: str, before: FileState) -> FileChange | None:
        try:
            with self.attempt.at(path):
                status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return self._missing(path, before)
        if stat.S_ISDIR(status.st_mode):  # a pattern may match these as well
            return self._missing(path, before)
        if not stat.S_ISREG(status.st_mode):
            message = "it is not a regular file, but a pipe, socket or device"
            raise ConfigError([Problem(path, None, "", message)])
        is_due = self.afresh or bool(before.missed)
        if signature_of(status) == before.signature and not is_due:
            return None
        with self.attempt.at(path):
            content, signature = read(path)
        state = replace(before, signature=signature if signature.is_settled else None)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest == before.digest and not is_due:
            return FileChange(path, state)
        state = replace(state, digest=digest)
        vcenters = tuple(self.settings.vcenters)
        try:
            session_file = parse_sessions(path, content, vcenters, alone=path != str(self.config))
        except ConfigError as error:
            return self._failed(path, state, error.problems)
        wanted = _shared(session_file.entries)
        # Entries that are bad now keep their last good options.
        for key, options in before.entries.items() if session_file.doubtful_ids else ():
            if key.id in session_file.doubtful_ids and key.vcenter in vcenters:
                wanted.setdefault(key, options)
        problems = tuple(map(str, session_file.problems))
        return reconcile(
            path, state, wanted, problems, session_file.locations, is_final=self.afresh
        )

    def _scan_settings(self, before: FileState) -> FileChange:
        vcenters = tuple(self.settings.vcenters)
        wanted = _shared((session_key(each, vcenters), each) for each in self.settings.sessions)
        places = {key: f"{IN_THE_SETTINGS}: sessions: {key.id}: " for key in wanted}
        locations = {
            key: SourceLocations(f"{at}path", f"{at}token_file") for key, at in places.items()
        }
        return reconcile(IN_THE_SETTINGS, before, wanted, (), locations, is_final=True)

    def _missing(self, path: str, before: FileState) -> FileChange:
        if path == str(self.config):
            message = "the file is missing; its sessions are still held"
            raise ConfigError([Problem(path, None, "", message)])
        change = reconcile(path, before, {}, is_final=self.afresh)
        return replace(change, state=replace(change.state, signature=None, digest=b""))

    def _failed(self, path: str, state: FileState, problems: Sequence[Problem]) -> FileChange:
        """Keep the last good entries, except those of vCenters that no longer exist.

        Entries that were missing before the file became bad still count as missing.
        """
        vcenters = self.settings.vcenters
        kept = {key: each for key, each in state.entries.items() if key.vcenter in vcenters}
        change = reconcile(path, state, kept, tuple(map(str, problems)), is_final=True)
        return replace(change, state=replace(change.state, missed=state.missed & kept.keys()))

    def _scan_named_files(
        self, path: str, before: FileState, change: FileChange | None
    ) -> FileChange | None:
        """Add the changes of the named files to a file's own change."""
        state = before if change is None else change.state
        if not state.named:
            return change
        changed = {*change.taken, *change.updated} if change else set()
        named: dict[SessionKey, NamedFiles] = {}
        tokens: dict[SessionKey, str] = {}
        updated: list[SessionKey] = []
        problems: list[str] = []
        for key, files in state.named.items():
            again = self.afresh or key in changed
            named[key], token = check_files(files, self.attempt, again=again)
            if token is not None:
                tokens[key] = token
            if key not in changed and (token is not None or named[key].size != files.size):
                updated.append(key)
            problems += named[key].problems
        if change is None and not updated and named == state.named:
            return None
        change = change or FileChange(path, state)
        return replace(
            change,
            state=replace(state, named=named, named_problems=tuple(problems)),
            updated=(*change.updated, *updated),
            tokens=tokens,
        )


def _shared(entries: Iterable[tuple[SessionKey, SessionEntry]]) -> dict[SessionKey, SessionOptions]:
    """Return the entries' options, with one object for all equal ones.

    The ids are copied, so that they are together in memory. The ids that were read are scattered
    over the memory that reading needed, and prevent its release: 110 MiB for 100,000 entries.
    """
    shared: dict[SessionOptions, SessionOptions] = {}
    found = {}
    for key, entry in entries:
        options = entry.options
        found[key._replace(id=key.id.encode().decode())] = shared.setdefault(options, options)
    return found
