"""Compares a file's contents with its current holds: the whole rule, as pure functions.

An entry is taken when it is new or has changed, never because it is still there: the line of an
ended session does not start it anew. Changed progress, and changes of the files that a line names,
only update a hold.

A missing entry is released at the second look that misses it: a file that is being rewritten in
place can be valid YAML with half of its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from keepalived.lease.model import SessionKey
from keepalived.settings import SessionOptions
from keepalived.settings.files import Signature
from keepalived.settings.sessions import SourceLocations
from keepalived.sources.named_files import NamedFiles

Entries = Mapping[SessionKey, SessionOptions]


@dataclass(frozen=True, slots=True)
class FileState:
    """What was read from a file, and the entries in effect because of it.

    `signature` is None if the file is to be read even if it seems unchanged, and `digest` is that
    of the content last read. `missed` are the entries that the last look did not find. `named` has
    the files that entries name, and `named_problems` the problems with those. A file of which
    nothing is left has the default state.
    """

    signature: Signature | None = None
    digest: bytes = b""
    entries: Entries = field(default_factory=dict)
    missed: frozenset[SessionKey] = frozenset()
    own_problems: tuple[str, ...] = ()
    named: Mapping[SessionKey, NamedFiles] = field(default_factory=dict)
    named_problems: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems with the file and with the files that it names."""
        return (*self.own_problems, *self.named_problems)


@dataclass(frozen=True, slots=True)
class FileChange:
    """The changes to the holds of one file, and its state after these.

    `tokens` are those to lend from now on, "" for none; other holds keep their token.
    """

    path: str
    state: FileState
    taken: tuple[SessionKey, ...] = ()
    updated: tuple[SessionKey, ...] = ()
    released: tuple[SessionKey, ...] = ()
    tokens: Mapping[SessionKey, str] = field(default_factory=dict, repr=False)


def reconcile(
    path: str,
    state: FileState,
    wanted: Entries,
    problems: tuple[str, ...] = (),
    locations: Mapping[SessionKey, SourceLocations] = MappingProxyType({}),
    *,
    is_final: bool,
) -> FileChange:
    """Return the change from the entries in effect to the `wanted` ones.

    `is_final` says that entries not wanted are released at once, however often they were missed.
    `locations` say where entries name files, for those read just now. Problems with the named
    files are not known before these are read.
    """
    taken: list[SessionKey] = []
    updated: list[SessionKey] = []
    for key, options in wanted.items():
        before = state.entries.get(key)
        if before == options:
            continue
        if before is not None and (before.max_lifetime, before.note) == (
            options.max_lifetime,
            options.note,
        ):
            updated.append(key)
        else:
            taken.append(key)
    vanished = state.entries.keys() - wanted.keys()
    released = vanished if is_final else vanished & state.missed
    missed = frozenset(vanished - released)
    entries = {**wanted, **{key: state.entries[key] for key in missed}} if missed else wanted
    named: dict[SessionKey, NamedFiles] = {}
    for key, options in entries.items():
        if options.path or options.token_file:
            files = state.named.get(key, NamedFiles())
            if (files.path, files.token_file) != (options.path, options.token_file):
                files = NamedFiles(options.path, options.token_file)
            if key in locations and locations[key] != files.locations:
                files = replace(files, locations=locations[key])
            named[key] = files
    after = FileState(state.signature, state.digest, entries, missed, problems, named)
    return FileChange(path, after, tuple(taken), tuple(updated), tuple(released))
