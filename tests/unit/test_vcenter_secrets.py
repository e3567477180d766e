"""Sources of the password, and the messages if it cannot be read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from keepalived.lease.answers import Outcome
from keepalived.settings import VCenterSettings
from keepalived.simulator.wire import Request, Response
from keepalived.validation import Secret, validate
from keepalived.vcenter.secrets import SecretError, read_password
from tests.support.vcenter import TIMEOUT, client_of

PASSWORD = "correct horse"


def settings(**source: Any) -> VCenterSettings:
    user = {"username": "somebody"} if source else {}
    return validate(VCenterSettings, {"url": "https://vcenter.test", **user, **source})


async def test_every_source(tmp_path: Path) -> None:
    file = tmp_path / "lab"
    file.write_text(PASSWORD + "\r\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "SECRET": PASSWORD}
    sources: list[dict[str, Any]] = [
        {"password_file": file},
        {"credential": "lab"},
        {"password_env": "SECRET"},
        {"password": Secret(PASSWORD)},
    ]
    assert [await read_password(settings(**each), environ) for each in sources] == [PASSWORD] * 4


async def test_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "lab"
    file.write_text("old")
    await read_password(settings(password_file=file))
    file.write_text("  new ")
    assert await read_password(settings(password_file=file)) == "  new "


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    def words(environ: dict[str, str], **source: Any) -> str:
        with pytest.raises(SecretError) as caught:
            asyncio.run(read_password(settings(**source), environ))
        return str(caught.value)

    missing = tmp_path / "missing"
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"secret\xff")
    assert words({}, password_file=missing) == f"password_file {missing}: No such file or directory"
    assert words({}, password_file=tmp_path) == f"password_file {tmp_path}: Is a directory"
    assert words({}, password_file=empty) == f"password_file {empty} is empty"
    assert words({}, password_file=binary) == f"password_file {binary}: it is not UTF-8 text"
    assert words({}, credential="lab").startswith("credential lab: $CREDENTIALS_DIRECTORY is not")
    assert words({}, password_env="SECRET") == "the environment variable SECRET is not set"
    undecodable = {"SECRET": b"secret\xff".decode(errors="surrogateescape")}
    assert words(undecodable, password_env="SECRET") == (
        "the environment variable SECRET: it is not UTF-8 text"
    )
    assert words({}) == "no credentials are configured: set username and password_file"


async def test_without_a_password_nothing_is_sent(tmp_path: Path) -> None:
    async def never(_: Request) -> Response:
        raise AssertionError("no login without a password")

    missing = tmp_path / "missing"
    client = client_of(never, password_env=None, password_file=missing)
    answer = await client.who_am_i(timeout=TIMEOUT)
    assert answer.outcome is Outcome.LOGIN_REFUSED
    assert answer.detail == f"password_file {missing}: No such file or directory"
