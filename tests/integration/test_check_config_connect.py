"""`check-config --connect` against real sockets, read as a person reads it."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from click.testing import CliRunner, Result

from keepalived.cli.check_config import check_config
from keepalived.settings.values import colons
from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve

USER = "uploader@vsphere.local"
SECRET = "hunter2"

Connect = Callable[..., Awaitable[Result]]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Write a configuration for a URL, and check it by connecting."""
    monkeypatch.chdir(tmp_path)

    def check(settings: list[str], password: str) -> Result:
        Path("config.yaml").write_text("vcenters:\n  lab:\n    " + "\n    ".join(settings) + "\n")
        command = ["--connect", "config.yaml"]
        return CliRunner().invoke(check_config, command, env={"PASSWORD": password})

    async def run(url: str, *lines: str, password: str = SECRET) -> Result:
        settings = [f"url: {url}", f"username: {USER}", "password_env: PASSWORD", *lines]
        # In a thread: the command runs a loop of its own, and the server is in this one.
        result = await asyncio.to_thread(check, settings, password)
        assert SECRET not in result.output
        assert "config.yaml: valid" in result.stdout, result.output
        return result

    return run


def told(result: Result) -> list[str]:
    """What was said of the vCenter that cannot be used."""
    assert result.exit_code == 78, result.output
    return [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]


def simulator() -> Simulator:
    return Simulator(username=USER, password=SECRET)


def unused_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def sha256(certificate: trustme.LeafCert) -> str:
    pem = certificate.cert_chain_pems[0].bytes().decode()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


async def test_a_vcenter_that_can_be_used(connect: Connect) -> None:
    served = simulator()
    async with serve(served) as url:
        result = await connect(url)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"lab: reached {url}, and logged in as {USER}"
    routes = [entry.route for entry in served.ledger.requests()]
    assert (routes[0], routes[-1]) == ("session.create", "session.delete")


async def test_a_vcenter_without_credentials(tmp_path: Path) -> None:
    async with serve(simulator()) as url:
        config = tmp_path / "config.yaml"
        config.write_text(f"vcenters: {{lab: {{url: '{url}'}}}}\n")
        result = await asyncio.to_thread(
            CliRunner().invoke, check_config, ["--connect", str(config)]
        )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == (
        f"lab: reached {url}; not logged in, as no credentials are configured"
    )


async def test_an_unknown_name(connect: Connect) -> None:
    assert told(await connect("https://vcsa.invalid")) == [
        "lab: the name vcsa.invalid cannot be resolved"
    ]


async def test_nobody_listens(connect: Connect) -> None:
    port = unused_port()
    for url in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
        line, refused = told(await connect(url))
        assert line.startswith(f"lab: cannot connect to 127.0.0.1:{port}")
        assert refused == "  127.0.0.1: Connection refused"


async def test_nobody_answers(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepalived.cli.connect_check._SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        line, advice = told(await connect(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert line.startswith("lab: ")
    assert "0.2 s" in line
    assert advice == "  a firewall that drops packets may be the cause"


async def test_refused_credentials(connect: Connect) -> None:
    served = simulator()
    async with serve(served) as url:
        line, advice = told(await connect(url, password="wrong-horse"))
    assert "refused" in line
    assert USER in line
    assert "wrong-horse" not in line
    assert advice.startswith("  check `username` and the password; the login was not repeated")


async def test_a_certificate_that_is_not_trusted(connect: Connect) -> None:
    issuer = trustme.CA(organization_name="Authority of the lab")
    certificate = issuer.issue_cert("127.0.0.1", organization_name="VMware", common_name="vcsa.lab")
    async with serve(simulator(), ssl_context=tls(certificate)) as url:
        port = url.rpartition(":")[2]
        lines = told(await connect(url))
    print_ = colons(sha256(certificate))
    assert lines[0].startswith(f"lab: the certificate of 127.0.0.1:{port} is not trusted: ")
    assert "unable to get local issuer certificate" in lines[0]
    assert lines[1] == f"  SHA-256  {print_}"
    assert "commonName=vcsa.lab" in lines[2]
    assert lines[2].startswith("  subject  ")
    assert lines[3].startswith("  issuer   organizationName=Authority of the lab")
    assert lines[4].startswith("  valid    ")
    assert lines[4].endswith(" GMT")
    assert f'    fingerprints: ["{print_}"]' in lines
    assert "    ca_file: /etc/clkeepalived/vcenter-ca.pem" in lines


async def test_the_lines_to_paste_are_what_it_takes(connect: Connect, tmp_path: Path) -> None:
    issuer = trustme.CA()
    certificate = issuer.issue_cert("127.0.0.1")
    issuer.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serve(simulator(), ssl_context=tls(certificate)) as url:
        lines = told(await connect(url))
        (fingerprints,) = [line.strip() for line in lines if "fingerprints: [" in line]
        assert (await connect(url, fingerprints)).exit_code == 0
        assert (await connect(url, "ca_file: ca.pem")).exit_code == 0
        assert (await connect(url, "insecure: true")).exit_code == 0


async def test_an_expired_certificate(connect: Connect, tmp_path: Path) -> None:
    issuer = trustme.CA()
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = issuer.issue_cert("127.0.0.1", not_after=yesterday)
    issuer.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serve(simulator(), ssl_context=tls(certificate)) as url:
        lines = told(await connect(url, "ca_file: ca.pem"))
    assert lines[0].endswith("is not trusted: certificate has expired")
    assert any(line.startswith("Renew the vCenter's certificate") for line in lines)
    assert not any("ca_file: " in line for line in lines)
    assert f" to {yesterday:%b} {yesterday.day:>2} " in lines[4]


async def test_a_certificate_of_somebody_else(connect: Connect, tmp_path: Path) -> None:
    issuer = trustme.CA()
    certificate = issuer.issue_cert("other.example")
    issuer.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serve(simulator(), ssl_context=tls(certificate)) as url:
        lines = told(await connect(url, "ca_file: ca.pem"))
    assert "is not trusted: IP address mismatch" in lines[0]
    assert any(line.startswith("Use a name of the certificate") for line in lines)
    assert not any("ca_file: " in line for line in lines)


async def test_another_certificate_than_the_pinned_one(connect: Connect) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    async with serve(simulator(), ssl_context=tls(certificate)) as url:
        lines = told(await connect(url, f"fingerprints: [{'ab' * 32}]"))
    assert lines[0].endswith("is not trusted: it is not one of `fingerprints`")
    assert lines[1] == f"  SHA-256  {colons(sha256(certificate))}"


async def test_https_where_http_is_spoken(connect: Connect) -> None:
    async with serve(simulator()) as url:
        (line,) = told(await connect(url.replace("http://", "https://")))
    assert line.startswith("lab: ")


async def test_something_else_than_a_vcenter(connect: Connect) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>It works!</html>", content_type="text/html")

    for missing in (True, False):
        app = web.Application()
        if not missing:
            app.router.add_route("*", "/{any:.*}", page)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            (line,) = told(await connect(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        finally:
            await runner.cleanup()
        assert "vCenter" in line, line


async def test_a_wrong_dialect(connect: Connect) -> None:
    async def login(_request: web.Request) -> web.Response:
        return web.json_response({"value": "token"})

    app = web.Application()
    app.router.add_post("/rest/com/vmware/cis/session", login)
    app.router.add_delete("/rest/com/vmware/cis/session", login)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        line, advice = told(await connect(url, "dialect: api"))
        assert "/api" in line
        assert advice == "  `dialect: api` may be wrong; `auto` detects it"
        assert (await connect(url)).exit_code == 0
    finally:
        await runner.cleanup()


async def test_a_proxy_in_between_is_named(connect: Connect) -> None:
    port = unused_port()
    _, advice = told(await connect("https://vcsa.invalid", f"proxy: http://127.0.0.1:{port}"))
    assert advice == "  the connection uses a proxy: check `proxy`, HTTPS_PROXY and NO_PROXY"
