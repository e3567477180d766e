"""Load the shipped Grafana dashboard, and derive the queries that Grafana sends to Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "config/grafana/clkeepalived.json"
FALL_BACK = " or vector(0)"
"""The end of a query that may have no result."""

# `$1` is a group of label_replace, and Grafana leaves it alone.
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression with Grafana's variables, as an instant or a range query."""

    asked_by: str
    expression: str
    instant: bool

    @property
    def variables(self) -> frozenset[str]:
        """The variables in the query, of the dashboard and of Grafana."""
        return frozenset(_VARIABLE.findall(self.expression))

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the query with its variables replaced, and without its fall-back.

        Raises KeyError for a variable without a value.
        """
        return fill(self.expression.removesuffix(FALL_BACK), values)


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The query of a variable: the values of a label in the series of a selector."""

    variable: str
    selector: str
    label: str


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace variables as Grafana does. Raises KeyError for one without a value."""
    return _VARIABLE.sub(lambda found: values[found[1]], text)


def load() -> dict[str, Any]:
    """Return the dashboard."""
    dashboard: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels, without the row headings."""
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Yield the queries of all panels and annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            name = f"{panel['title']} {target['refId']}"
            yield Query(name, target["expr"], target["instant"])
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield Query(f"annotation {annotation['name']}", annotation["expr"], instant=False)


def variables(dashboard: Mapping[str, Any]) -> Iterator[LabelValues]:
    """Yield the queries of the variables. Raises ValueError for one of another kind."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        if found is None:
            raise ValueError(f"{variable['name']}: {variable['query']['query']}")
        yield LabelValues(variable["name"], found[1], found[2])
