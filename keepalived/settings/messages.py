"""What is wrong with a value, as a problem of the document that it stands in."""

from __future__ import annotations

from keepalived.settings.construct import UNREADABLE
from keepalived.settings.document import Document
from keepalived.settings.problems import Path, Problem
from keepalived.validation import Invalid

_MOST = 20


def problems_of(error: Invalid, document: Document, path: Path = ()) -> list[Problem]:
    """Return one problem for each error that was found in what stands at `path`.

    What could not even be read is left out: the document's flaws say more of it. Beyond the first
    ones they are counted.
    """
    found = [each for each in error.problems if each.value is not UNREADABLE]
    problems = [document.problem(path + each.path, each.message) for each in found[:_MOST]]
    if len(found) > _MOST:
        problems.append(document.problem(path, f"{len(found) - _MOST} more problems here"))
    return problems
