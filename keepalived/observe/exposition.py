"""Gauges as text: what Prometheus's own format and OpenMetrics have in common.

The library's encoders take ten times as long for a series, and do not stop before the last one.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from keepalived.observe.steps import Steps

_ENCODED = 1000
"""How many series a step writes."""
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def gauges(families: Iterable[Metric]) -> Steps[str]:
    """Return the families as text, in steps. They have to be gauges, each with labels."""
    lines: list[str] = []
    for family in families:
        name = family.name
        lines.append(f"# HELP {name} {family.documentation}\n# TYPE {name} gauge\n")
        for sample in family.samples:
            labels = ",".join([f'{k}="{v.translate(_ESCAPES)}"' for k, v in sample.labels.items()])
            value = floatToGoString(sample.value)  # type: ignore[no-untyped-call]  # left bare
            lines.append(f"{name}{{{labels}}} {value}\n")
            if not len(lines) % _ENCODED:
                yield
    return "".join(lines)
