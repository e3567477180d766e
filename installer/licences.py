"""Write `docs/licences.md`: the licences of all packages in an installation.

Names and versions come from the lock file, licences from the metadata of the installed packages:
run it where they are installed.

    python installer/licences.py requirements/base.txt >docs/licences.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_LOCKED = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE | re.IGNORECASE)
_FIELDS = ("License-Expression", "License")
_CLASSIFIER = "License :: "
_LONGEST = 60
"""The most characters of a licence's name. A package that puts the whole text into the field is
listed by its classifiers instead."""

_HEAD = """\
# Licences

The packages that an installation contains besides `clkeepalived` itself (Apache-2.0), with the
versions that `requirements/base.txt` pins, and the licence that each package declares. `make sbom`
generates this page, and a bill of materials (CycloneDX) in `dist/`.

| package | version | licence |
| --- | --- | --- |
"""


def main() -> None:
    page = _HEAD
    for name, version in locked(Path(sys.argv[1])):
        page += f"| {name} | {version} | {licence_of(name)} |\n"
    sys.stdout.write(page)


def locked(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and version of each package in a lock file."""
    for found in _LOCKED.finditer(path.read_text(encoding="utf-8")):
        yield found[1], found[2]


def licence_of(name: str) -> str:
    """Return the licence that an installed package declares. Raises LookupError without one."""
    about = metadata.metadata(name)
    named = [each for field in _FIELDS for each in about.get_all(field, [])]
    expression = named[0] if named else ""
    if expression and len(expression) <= _LONGEST and "\n" not in expression:
        return expression
    classified = [
        each.rpartition(" :: ")[2]
        for each in about.get_all("Classifier", [])
        if each.startswith(_CLASSIFIER)
    ]
    if not classified:
        raise LookupError(f"{name} declares no licence")
    return ", ".join(classified)


if __name__ == "__main__":
    main()
