"""Write gauges as text, in the subset that Prometheus's own format and OpenMetrics share.

The library's encoders cannot pause before the last series, take several times as long per series,
and need an object for each, which the garbage collector has to track.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.utils import floatToGoString

from keepalived.lease.text import sayable

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Gauge:
    """A gauge with labels, and its series at one moment. `name` excludes the program's prefix."""

    def __init__(self, name: str, documentation: str, labels: Iterable[str]) -> None:
        name = f"clkeepalived_{name}"
        self._lines = [f"# HELP {name} {documentation}\n# TYPE {name} gauge\n"]
        named = ",".join([f'{label}="%s"' for label in labels])
        self._series = f"{name}{{{named}}} %s\n"

    def add(self, labels: Iterable[str], value: float) -> None:
        """Add the series with these label values."""
        number = floatToGoString(value)  # type: ignore[no-untyped-call]  # untyped in the library
        escaped = [sayable(label).translate(_ESCAPES) for label in labels]
        self._lines.append(self._series % (*escaped, number))

    @property
    def text(self) -> str:
        """Return the gauge and all its series."""
        return "".join(self._lines)
