"""Plots that come out the same, byte by byte, from the same figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def figure(path: Path, title: str, *, columns: int = 1) -> Iterator[Any]:
    """Yield the axes of a new figure, one or a sequence of them; save it as SVG in the end."""
    # Imported here: what needs no plot needs no matplotlib.
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    style = {"svg.hashsalt": "clkeepalived", "svg.fonttype": "none", "font.size": 9.0}
    with plt.rc_context(style):
        drawn, axes = plt.subplots(1, columns, figsize=(4.2 * columns + 0.8, 3.4))
        drawn.suptitle(title)
        yield axes
        drawn.tight_layout()
        drawn.savefig(path, metadata={"Date": None})
        plt.close(drawn)
