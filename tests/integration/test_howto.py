"""What docs/how-to prints for curl and VMware's SDK, run as printed against the simulator."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keepalived.settings import load_settings
from keepalived.simulator.faults import Latency
from tests.integration.simulator_support import write_certificate
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.exec import image
from tests.support.held import Lab, lab
from tests.support.printed import HOW_TO, NOT_RUN, blocks, commands, marked
from tests.support.programs import needs

LIFETIME, SERVED = 5.0, 120.0
"""The configured and the actual lifetime of sessions."""
GAP = 6.0  # that the server takes a file in: `exec` looks every tenth of a lifetime
UNTESTED = ("packer.md", "powercli.md", "terraform.md")
PAGES = sorted(page.name for page in HOW_TO.glob("*.md"))


@dataclass(frozen=True)
class Desk:
    """A vCenter, and a folder in which a page's commands run."""

    vcenter: Lab
    folder: Path
    settings: dict[str, object]
    environ: dict[str, str]

    def type(self, text: str, shell: str = "sh", stdin: str = "", **more: str) -> str:
        """Type a block, which has to succeed; return what was said."""
        ran = subprocess.run(
            [shell, "-eu", "-c", text],
            input=stdin,
            cwd=self.folder,
            env={**self.environ, **more},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def renewals(self) -> int:
        """Return how many keep-alives arrived."""
        return len(self.vcenter.sent("update_session.keep_alive"))

    def version(self) -> int:
        """Return the content version of the only item."""
        (item,) = self.vcenter.do(self.vcenter.simulator.library.catalog.items)
        return item.content_version


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    certificate = write_certificate(tmp_path / "server.pem")
    image(tmp_path, "debian-12.iso")
    with lab(certificate, session_timeout=SERVED) as vcenter:
        faults = vcenter.simulator.faults
        vcenter.do(lambda: faults.add(Latency(GAP), route="upload"))
        vcenter.do(vcenter.simulator.library.catalog.create_library, "templates")
        user = vcenter.credentials()
        config = tmp_path / "config.yaml"
        settings = vcenter.configure(config, certificate, LIFETIME)
        environ = {
            **{name: text for name, text in os.environ.items() if not name.endswith("CA_BUNDLE")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CLKEEPALIVED_CONFIG": str(config),
            "CURL_CA_BUNDLE": str(certificate),
            "REQUESTS_CA_BUNDLE": str(certificate),
            "SSL_CERT_FILE": str(certificate),
            "GOVC_URL": vcenter.url,
            "GOVC_USERNAME": user["username"],
            "GOVC_PASSWORD": user["password"],
            "GOVMOMI_HOME": str(tmp_path / "govmomi"),
        }
        yield Desk(vcenter, tmp_path, settings, environ)


def arrived(said: str, name: str = "templates/debian-12") -> bool:
    """Whether the last line that `exec` said is the one that its user came for."""
    last = said.splitlines()[-1]
    return last.startswith(f"clkeepalived: {name} version 1→2, content arrived; held ")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_its_page_says_that_none_is(page: str) -> None:
    untested = [text for mark, _, text in blocks(page) if not mark or mark.startswith(NOT_RUN)]
    assert bool(untested) == (page in UNTESTED)
    assert ("Untested here" in (HOW_TO / page).read_text()) == (page in UNTESTED)


@needs("bash")
def test_the_vcenter_is_named_and_the_password_typed(desk: Desk) -> None:
    text, check = commands("README.md")
    assert "administrator@vsphere.local" in desk.type(check)
    said = desk.type(f"{text}\nenv", "bash", stdin="of mine\n")
    assert "GOVC_URL=https://vcsa.lab.example\n" in said
    assert "GOVC_USERNAME=uploader@vsphere.local\n" in said
    assert "GOVC_PASSWORD=of mine\n" in said


@needs("curl")
def test_curl_with_a_token_that_is_lent_to_exec(desk: Desk) -> None:
    (desk.folder / "upload.sh").write_text(marked("curl.md", "upload.sh"))
    log_in, upload, log_out = commands("curl.md")
    desk.type(log_in)
    assert (desk.folder / "token").stat().st_mode & 0o777 == 0o600
    said = desk.type(upload)
    assert arrived(said), said
    assert desk.version() == 2
    assert desk.renewals() >= 1
    assert "the API session of token is kept alive" in said
    desk.type(log_out)
    assert desk.vcenter.logged_in() == 0


@pytest.mark.extended
@needs("curl")
async def test_curl_with_one_line_for_the_daemon(desk: Desk) -> None:
    config, socket = desk.folder / "daemon.json", desk.folder / "control.sock"
    vcenters = {"lab": {**desk.settings, "password_env": PASSWORD_VARIABLE}}
    more = {"control": {"socket": str(socket)}, "http": {"listen": "127.0.0.1:0"}}
    config.write_text(json.dumps({"vcenters": vcenters, **more}))
    hold = marked("curl.md", "hold in the script")
    lines = marked("curl.md", "upload.sh").splitlines(keepends=True)
    (opening,) = [number for number, line in enumerate(lines) if line.startswith("ID=")]
    lines.insert(opening + 1, hold)
    lines.append(marked("curl.md", "the end of the script"))
    (desk.folder / "upload.sh").write_text("".join(lines))
    async with serving(config, desk.environ["GOVC_PASSWORD"]) as daemon:
        await daemon.event("ready")
        text = commands("curl.md")[0] + "bash upload.sh templates debian-12.iso"
        said = await asyncio.to_thread(desk.type, text, CLKEEPALIVED_SOCKET=str(socket))
        ended = await daemon.event("session_ended")
    assert (ended["state"], ended["content_moved"]) == ("DONE", True)
    assert "the content arrived" in said


def item(desk: Desk) -> str:
    """Make the item to fill, and return its id."""

    def make() -> str:
        catalog = desk.vcenter.simulator.library.catalog
        (library,) = catalog.libraries()
        return catalog.create_item(library.id, "debian-12").id

    return desk.vcenter.do(make)


@pytest.mark.extended
def test_a_script_on_the_sdk_with_a_hold(desk: Desk) -> None:
    (desk.folder / "upload.py").write_text(marked("python-sdk.md", "upload.py"))
    desk.type(commands("python-sdk.md")[0], ITEM_ID=item(desk))
    assert desk.version() == 2
    assert desk.renewals() >= 1


@pytest.mark.extended
def test_a_script_on_the_sdk_as_it_was(desk: Desk) -> None:
    text = marked("python-sdk.md", "upload.py").replace("import keepalived\n", "")
    (hold,) = [line for line in text.splitlines() if line.startswith("with keepalived")]
    (desk.folder / "unchanged.py").write_text(text.replace(hold, "if session_id:"))
    said = desk.type(commands("python-sdk.md")[1], ITEM_ID=item(desk))
    assert arrived(said), said
    assert desk.renewals() >= 1
    assert "is not kept alive" in said


def test_the_daemon_for_powercli_is_a_configuration(desk: Desk) -> None:
    text = marked("powercli.md", "discovering")
    secret, config = desk.folder / "secret", desk.folder / "discovering.yaml"
    secret.touch(0o600)
    secret.write_text("secret\n")
    config.write_text(text.replace("/etc/clkeepalived/lab.password", str(secret)))
    assert load_settings(config, {}).settings.vcenters["lab"].discover
