"""Write the Prometheus Operator's form of the alert rules in config/prometheus to standard output.

    python installer/prometheus_rule.py > config/kubernetes/prometheus-rule.yaml

The rules are copied line by line, comments and all.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

RULES = Path(__file__).parents[1] / "config/prometheus"

_HEAD = """\
# The alert rules of config/prometheus, for the Prometheus Operator. Made from them by
# installer/prometheus_rule.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: clkeepalived
  labels:
    app.kubernetes.io/name: clkeepalived
spec:
  groups:
"""
_GROUPS = "groups:\n"


def manifest(folder: Path = RULES) -> str:
    """Return the manifest with the groups of all rule files in a folder."""
    groups = [
        text.partition(_GROUPS)[2]
        for path in sorted(folder.glob("*.y*ml"))
        if (text := path.read_text(encoding="utf-8")).startswith(_GROUPS) or f"\n{_GROUPS}" in text
    ]
    return _HEAD + "".join(textwrap.indent(each, "  ") for each in groups)


if __name__ == "__main__":
    sys.stdout.write(manifest())
