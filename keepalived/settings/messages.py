"""Turns validation errors into problems with a file and a line."""

from __future__ import annotations

from keepalived.settings.construct import UNREADABLE
from keepalived.settings.document import Document
from keepalived.settings.problems import Path, Problem
from keepalived.validation import Invalid

_MOST = 20


def problems_of(error: Invalid, document: Document, path: Path = ()) -> list[Problem]:
    """Return a problem for each validation error in the value at `path`.

    Unreadable values are left out, since the document's flaws describe them. After the first
    20 errors, the others are only counted.
    """
    found = [each for each in error.problems if each.value is not UNREADABLE]
    problems = [document.problem(path + each.path, each.message) for each in found[:_MOST]]
    if len(found) > _MOST:
        problems.append(document.problem(path, f"{len(found) - _MOST} more problems here"))
    return problems
