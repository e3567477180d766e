"""What a file says now against what was made of it so far: pure, and the whole of the rule.

An entry is taken when it is new or has changed, and never because it is still there: the line of a
session that has ended does not start it anew. Changed progress, and changes of the files that a
line names, only update a hold.

What vanished is released at the second look that misses it. A file that is written in place can be
read half-written and still be valid YAML, with half of its entries.
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
    """What was seen of a file, and the entries in effect because of it.

    `signature` is None where the file is to be read even if it seems unchanged, and `digest` is
    that of the content last read. `missed` are the entries that the last look did not find.
    `named` has the files that entries name, and `named_problems` what is wrong with those. A file
    of which nothing is left has the default state.
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
        """Everything that is wrong, in the file and with the files that it names."""
        return (*self.own_problems, *self.named_problems)


@dataclass(frozen=True, slots=True)
class FileChange:
    """What to do about the holds of one file, and its state once that is done.

    `tokens` are those to lend from now on, "" for none; the other holds keep the token they have.
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
    """Return what leads from the entries in effect to those that are `wanted`.

    `is_final` says that what is not wanted now is released at once, however often it was missed.
    `locations` say where entries name files, for those that were read just now. What is wrong with
    the named files is not known before they are looked at.
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
