"""`clkeepalived simulate`: the messages for bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from keepalived.cli.simulate import simulate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--session-timeout", "ten"], "'ten' is not a duration"),
        (["--token-max-age", "0"], "must be greater than 0"),
        (["--listen", "localhost"], "'localhost' is not HOST:PORT"),
        (["--listen", ":8989"], "':8989' is not HOST:PORT"),
        (["--listen", "localhost:99999"], "99999 is not a port"),
        (["--tls-cert", "/nowhere.pem"], "does not exist"),
        (["--tls-key", __file__], "--tls-key needs --tls-cert"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_the_help_says_which_clients_are_served() -> None:
    text = " ".join(CliRunner().invoke(simulate, ["--help"]).output.split())
    assert "/api and /rest: VMware's SDK for Python, PowerCLI's REST cmdlets, curl." in text
    assert "Not yet govc and Ansible's modules: they log in by SOAP at /sdk." in text


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.write_text("no certificate")
    result = CliRunner().invoke(simulate, ["--tls-cert", str(path)])
    assert result.exit_code == 1
    assert f"cannot use {path}" in result.output


def test_an_address_of_another_machine() -> None:
    result = CliRunner().invoke(simulate, ["--listen", "192.0.2.1:8989"])
    assert result.exit_code == 1
    assert "cannot listen on 192.0.2.1:8989" in result.output
