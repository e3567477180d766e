"""The licences of all that an installation consists of, as a page: `docs/licences.md`.

Names and versions come from the lock file, licences from the packages' own metadata: run it where
they are installed.

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
"""A licence's name. Where a package puts the whole text there, its classifiers say it shorter."""

_HEAD = """\
# Licences

What an installation consists of beside `clkeepalived` itself (Apache-2.0), with the versions that
`requirements/base.txt` pins, and each package's own word on its licence. `make sbom` writes this
page anew, and beside it a bill of materials (CycloneDX) into `dist/`.

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
    """Return what an installed package says of its licence. Raises LookupError if it is silent."""
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
        raise LookupError(f"{name} does not say under which licence it is")
    return ", ".join(classified)


if __name__ == "__main__":
    main()
