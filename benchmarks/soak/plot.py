"""Plot the samples as curves, with the rests shaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.plots import figure
from benchmarks.soak.samples import Sample
from benchmarks.soak.verdict import BASELINE, END, MIB

Curve = tuple[str, Callable[[Sample], float | None]]
_PANELS: tuple[tuple[str, tuple[Curve, ...]], ...] = (
    (
        "memory, MiB",
        (("RSS", lambda each: each.rss / MIB), ("anonymous", lambda each: each.anonymous / MIB)),
    ),
    (
        "file descriptors",
        (
            ("to vCenters", lambda each: each.to_vcenters),
            ("all others", lambda each: each.descriptors),
        ),
    ),
    (
        "threads and tasks",
        (("threads", lambda each: each.threads), ("tasks", lambda each: each.tasks)),
    ),
    ("Python objects, thousands", (("objects", lambda each: (each.objects or 0) / 1000),)),
    (
        "state file, KiB",
        (
            ("database", lambda each: each.state_file / 1024),
            ("write-ahead log", lambda each: each.state_log / 1024),
        ),
    ),
)


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Write the plot as SVG."""
    minutes = [each.at / 60 for each in samples]
    with figure(path, "A daemon under churn", rows=len(_PANELS), size=(9, 11)) as axes:
        for axis, (title, curves) in zip(axes, _PANELS, strict=True):
            for label, of in curves:
                axis.plot(minutes, [of(each) for each in samples], label=label, linewidth=1)
            for phase, group in groupby(samples, key=lambda each: each.phase):
                at = [each.at / 60 for each in group]
                if phase in (BASELINE, END):
                    axis.axvspan(at[0], at[-1], color="0.85")
            axis.set_ylim(bottom=0)
            axis.set_ylabel(title)
            axis.grid(alpha=0.3)
            axis.legend(loc="lower right", fontsize="small", ncols=2)
        axes[-1].set_xlabel("minutes; shaded: at rest")
