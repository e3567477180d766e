"""Decides how the holds of a file change when its entries change, as pure functions.

A hold is taken when an entry is new or has changed. An unchanged entry takes none, so the entry of
an ended session has no effect. Changed progress, and changes of the files that an entry names, only
update a hold.

A missing entry is released at the second scan that does not find it: a file that is being rewritten
in place can be valid YAML with half of its entries.
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
    """The state of a file after a scan, and the entries that it puts into effect.

    `signature` is None if the file must be read again even if it seems unchanged; `digest` is
    that of the content last read. `missed` are the entries that the last scan did not find.
    `named` has the files that entries name, and `named_problems` the problems with those. A file
    without any effect has the default state.
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
    """The changes to the holds of one file, and its state afterwards.

    `tokens` are the tokens to lend from now on, "" for none; other holds keep their token.
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

    With `is_final`, unwanted entries are released at once, however often they were missed.
    `locations` say where the entries that were just read name files. The new state has no problems
    with named files: these are read later.
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
