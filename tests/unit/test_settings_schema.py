"""What is shipped beside the settings says the same as they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from keepalived.settings import Settings
from keepalived.settings.document import parse
from keepalived.settings.schema import schema
from keepalived.validation import validate

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLE = CONFIG / "clkeepalived.yaml"


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(schema()))


def test_the_schema_is_current() -> None:
    shipped = (CONFIG / "clkeepalived.schema.json").read_text(encoding="utf-8")
    assert shipped == schema(), (
        "run: python -m keepalived.settings.schema > config/clkeepalived.schema.json"
    )


def test_the_example_names_the_schema_for_editors() -> None:
    first = EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=clkeepalived.schema.json"


def test_the_example_is_a_good_configuration(validator: jsonschema_rs.Validator) -> None:
    data = parse(str(EXAMPLE), EXAMPLE.read_bytes()).data
    validator.validate(data)
    assert list(validate(Settings, data).vcenters) == ["lab"]


def test_every_commented_default_of_the_example_is_the_default() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = validate(
        Settings,
        yaml.safe_load(
            "vcenters:\n  lab:\n    url: https://x\n"
            + _uncommented(text, "    # ", {"session_timeout", "dialect", "representation"})
            + _uncommented(text, "    # ", {"observe", "request_timeout", "max_in_flight"})
            + _uncommented(text, "    # ", {"insecure", "discover"})
            + _uncommented(text, "# ", {"stall_timeout", "persist_tokens"})
            + _uncommented(text, "# ", {"http", "metrics", "log", "exit_when_idle", "retention"})
        ),
    )
    assert shown == validate(Settings, {"vcenters": {"lab": {"url": "https://x"}}})


def _uncommented(text: str, marker: str, keys: set[str]) -> str:
    lines = [
        line.replace("# ", "", 1)
        for line in text.splitlines()
        if line.startswith(marker) and line.removeprefix(marker).split(":")[0] in keys
    ]
    assert len(lines) == len(keys)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "vcenter",
    [
        {"url": "https://x", "session_timeout": "1h30m", "request_timeout": "auto"},
        {"url": "https://x", "discover": False},
        {"url": "https://x", "discover": True},
        {"url": "https://x", "discover": {"libraries": ["isos", "prod-*"], "items": ["*.iso"]}},
        {"url": "https://x", "session_timeout": 300, "request_timeout": "9s", "proxy": None},
    ],
)
def test_the_schema_takes_what_the_settings_take(
    validator: jsonschema_rs.Validator, vcenter: dict[str, Any]
) -> None:
    data = {"vcenters": {"lab": vcenter}}
    validate(Settings, data)
    validator.validate(data)


@pytest.mark.parametrize(
    "vcenter",
    [
        {},
        {"url": "https://x", "password": "hunter2"},
        {"url": "https://x", "more_ca_files": ["x"]},
        {"url": "https://x", "session_timeout": "5 minutes"},
        {"url": "https://x", "dialect": "soap"},
        {"url": "https://x", "max_in_flight": 0},
    ],
)
def test_the_schema_refuses_what_the_settings_refuse(
    validator: jsonschema_rs.Validator, vcenter: dict[str, Any]
) -> None:
    assert not validator.is_valid({"vcenters": {"lab": vcenter}})
