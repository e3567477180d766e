"""Draw plots as SVG, byte for byte the same for the same figures."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XML

_SVG = "http://www.w3.org/2000/svg"
_DECIMALS = re.compile(r"(\.\d\d)\d+")


@contextmanager
def figure(
    path: Path, title: str, *, rows: int = 1, columns: int = 1, size: tuple[float, float]
) -> Iterator[Any]:
    """Yield the axes of a new figure, one or a sequence of them; save it as SVG afterwards.

    `size` is width and height in inches.
    """
    # Imported here so that runs without plots do not need matplotlib.
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    style = {"svg.hashsalt": "clkeepalived", "svg.fonttype": "none", "font.size": 9.0}
    with plt.rc_context(style), io.BytesIO() as written:
        drawn, axes = plt.subplots(rows, columns, figsize=size, sharex="col")
        drawn.suptitle(title)
        yield axes
        drawn.align_ylabels()
        drawn.tight_layout()
        drawn.savefig(written, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        plt.close(drawn)
        path.write_text(_shortened(written.getvalue()), encoding="utf-8")


def _shortened(svg: bytes) -> str:
    """Return an SVG without groups that only carry a name, with one line for each element."""
    XML.register_namespace("", _SVG)
    XML.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = XML.fromstring(svg)  # noqa: S314 - matplotlib has written it
    _ungroup(root)
    XML.indent(root, "")
    return XML.tostring(root, encoding="unicode") + "\n"


def _ungroup(parent: XML.Element) -> None:
    """Replace such groups by their parts, and round coordinates to 0.01 points."""
    for part in parent:
        _ungroup(part)
        for name in {"d", "x", "y", "transform"}.intersection(part.keys()):
            part.set(name, _DECIMALS.sub(r"\1", " ".join(part.attrib[name].split())))
    parent[:] = [
        each
        for part in parent
        for each in (part if part.tag == f"{{{_SVG}}}g" and set(part.keys()) <= {"id"} else [part])
    ]
