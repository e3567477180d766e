"""Write the Prometheus Operator's form of the alert rules to standard output.

    python installer/prometheus_rule.py > config/kubernetes/prometheus-rule.yaml

The rules are copied line by line, comments and all.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

RULES = Path(__file__).parents[1] / "config/prometheus/clkeepalived.rules.yml"

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


def manifest(rules: str) -> str:
    """Return the manifest with the groups of a rule file, which is given as text."""
    return _HEAD + textwrap.indent(rules.partition(_GROUPS)[2], "  ")


if __name__ == "__main__":
    sys.stdout.write(manifest(RULES.read_text(encoding="utf-8")))
