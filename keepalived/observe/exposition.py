"""Gauges as text: what Prometheus's own format and OpenMetrics have in common.

The library's encoders do not stop before the last series, take several times as long for each, and
want objects made of them, which the garbage collector has to look after.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.utils import floatToGoString

from keepalived.lease.text import sayable

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Gauge:
    """A gauge with labels, and its series at one moment. `name` is without the program's prefix."""

    def __init__(self, name: str, documentation: str, labels: Iterable[str]) -> None:
        name = f"clkeepalived_{name}"
        self._lines = [f"# HELP {name} {documentation}\n# TYPE {name} gauge\n"]
        named = ",".join([f'{label}="%s"' for label in labels])
        self._series = f"{name}{{{named}}} %s\n"

    def add(self, labels: Iterable[str], value: float) -> None:
        """Add the series that has these values of the labels."""
        number = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library left it bare
        escaped = [sayable(label).translate(_ESCAPES) for label in labels]
        self._lines.append(self._series % (*escaped, number))

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._lines)
