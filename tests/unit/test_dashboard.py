"""The Grafana dashboard hangs together: what Grafana would refuse or draw wrongly is found here."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.support import dashboard

DASHBOARD = dashboard.load()
PANELS = list(dashboard.panels(DASHBOARD))
QUERIES = list(dashboard.queries(DASHBOARD))
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
# What these count has no label for the vCenter.
OF_THE_DAEMON = re.compile(
    r"process_\w+|up|ALERTS|clkeepalived_(build_info|config_\w+|source_\w+"
    r"|(keep_alive_duration|renewal_slack|schedule_lag)_seconds_bucket)"
)
SELECTOR = re.compile(r"\b(clkeepalived_\w+|process_\w+|up|ALERTS)\b(?:\{([^}]*)\})?")


def test_it_can_be_imported_where_other_dashboards_are() -> None:
    assert DASHBOARD["id"] is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["schemaVersion"] >= 39  # of Grafana 10.3; newer ones bring it up to date
    assert DASHBOARD["time"]["from"] == "now-1h"


def test_panels_have_ids_of_their_own_and_say_what_they_show() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))
    assert all(panel["description"].endswith(".") for panel in PANELS)


def test_no_panel_lies_on_another_or_sticks_out() -> None:
    def covers(panel: dict[str, Any]) -> set[tuple[int, int]]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        return {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }

    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not covers(one) & covers(other), (one["title"], other["title"])


def test_the_first_row_answers_whether_anything_is_in_danger() -> None:
    first, *rest = DASHBOARD["panels"]
    assert first["title"] == "Is anything in danger?"
    answers = [panel for panel in rest if panel["gridPos"]["y"] == 1]
    assert {panel["type"] for panel in answers} == {"stat"}
    assert answers[0]["title"] == "At risk"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_every_query_goes_to_the_chosen_prometheus(panel: dict[str, Any]) -> None:
    targets = panel["targets"]
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in targets)
    letters = [target["refId"] for target in targets]
    assert letters == sorted(set(letters))


def test_each_variable_is_one_that_grafana_knows_by_then() -> None:
    known = {"__rate_interval", "__range"}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["datasource"] == DATASOURCE
            assert set(re.findall(r"\$(\w+)", variable["query"]["query"])) <= known
        known.add(variable["name"])
    assert known == {"__rate_interval", "__range", "datasource", "job", "vcenter"}
    for query in QUERIES:
        assert query.variables <= known, query.asked_by


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query.asked_by))
def test_every_selector_is_narrowed_to_the_chosen_jobs_and_vcenters(query: dashboard.Query) -> None:
    for metric, labels in SELECTOR.findall(query.expression):
        if metric == "ALERTS":
            assert "Clkeepalived" in labels
            continue
        assert 'job=~"$job"' in labels, metric
        if not OF_THE_DAEMON.fullmatch(metric):
            assert 'vcenter=~"$vcenter"' in labels, metric


def test_grafana_is_told_where_it_lies_and_how_often_prometheus_scrapes() -> None:
    folder = dashboard.PATH.parent
    provider = yaml.safe_load((folder / "dashboards.yaml").read_text())["providers"][0]
    assert provider["type"] == "file"
    source = yaml.safe_load((folder / "datasources.yaml").read_text())["datasources"][0]
    scraped = yaml.safe_load((folder.parent / "prometheus/prometheus.yml").read_text())
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
