"""The shipped alert rules by Prometheus's own tools: they parse, they fire, they keep silent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.programs import needs

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config/prometheus"
RULES = SHIPPED / "clkeepalived.rules.yml"
STORIES = sorted((ROOT / "tests/rules").glob("*.yml"))

pytestmark = [needs("promtool"), pytest.mark.timeout(900)]  # the tools are slow on a busy machine


def said_by(*command: str | Path) -> str:
    """Run a tool, which must be content, and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_scrape_configuration_and_the_rules_in_it_are_good() -> None:
    said = said_by("promtool", "check", "config", "--lint=all", SHIPPED / "prometheus.yml")
    assert "1 rule files found" in said
    assert "0 rules found" not in said


@needs("amtool")
def test_the_alertmanager_is_content_and_pages_by_the_severity_of_the_rules() -> None:
    config = SHIPPED / "alertmanager.yml"
    said_by("amtool", "check-config", config)
    rules = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    ways = {
        rule["labels"]["severity"]: said_by(
            *("amtool", "config", "routes", "test", f"--config.file={config}"),
            f"alertname={rule['alert']}",
            f"severity={rule['labels']['severity']}",
        ).strip()
        for rule in rules
        if "alert" in rule
    }
    assert ways == {"critical": "on-call", "warning": "mail"}


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_each_story_is_told_as_it_should_be(story: Path) -> None:
    said_by("promtool", "test", "rules", story)


def test_every_alert_is_seen_firing_with_its_words() -> None:
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    told = {
        case["alertname"]
        for story in STORIES
        for test in yaml.safe_load(story.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
    }
    assert told == alerts
