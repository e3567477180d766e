"""What docs/how-to prints for Ansible and govc, run as it is printed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keepalived.simulator.faults import Latency
from tests.integration.simulator_support import write_certificate
from tests.support.exec import image
from tests.support.held import lab
from tests.support.printed import commands, marked
from tests.system import tools
from tests.system.conftest import StartVCSim
from tests.system.test_vcsim_tokens import govc_environment
from tests.system.vcsim_peer import CONTENT

pytestmark = pytest.mark.timeout(900)  # the first time, tools are fetched and built

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def type_in(folder: Path, text: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Type what a page prints, in a folder; return what was said."""
    return subprocess.run(
        ["sh", "-eu", "-c", text],
        cwd=folder,
        env={**environ, "HOME": str(folder)},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image(tmp_path, "debian-12.iso")
    return tmp_path


def test_ansible(folder: Path) -> None:
    ansible = tools.ansible()
    certificate = write_certificate(folder / "server.pem")
    (folder / "upload.yaml").write_text(marked("ansible.md", "upload.yaml"))
    (text,) = commands("ansible.md")
    with lab(certificate, session_timeout=30.0) as vcenter:
        simulator = vcenter.simulator
        vcenter.do(simulator.library.catalog.create_library, "templates")
        # Long enough to be seen: the session is deleted as soon as it is done.
        vcenter.do(lambda: simulator.faults.add(Latency(6.0), route="upload"))
        user = vcenter.credentials()
        config = folder / "config.json"
        vcenter.configure(config, certificate, session_timeout=10)
        host, _, port = vcenter.url.removeprefix("https://").partition(":")
        environ = {
            "PATH": f"{ansible}/bin:{PATH}",
            "PYTHONPATH": str(ansible),
            "ANSIBLE_COLLECTIONS_PATH": str(ansible),
            "CLKEEPALIVED_CONFIG": str(config),
            "LANG": "C.UTF-8",
            "REQUESTS_CA_BUNDLE": str(certificate),
            "SSL_CERT_FILE": str(certificate),
            "GOVC_USERNAME": user["username"],
            "GOVC_PASSWORD": user["password"],
            "VMWARE_HOST": host,
            "VMWARE_PORT": port,
        }
        ran = type_in(folder, text, environ)
        assert ran.returncode == 0, ran.stdout
        assert "changed=1" in ran.stdout
        told = "clkeepalived: templates/debian-12"
        *_, summary, last = ran.stdout.splitlines()
        assert summary.startswith(f"{told} version 1→2, content arrived; ")
        assert last == f"{told} arrived, version 2"
        assert len(vcenter.sent("update_session.keep_alive")) >= 1
        assert len(vcenter.sent("upload")) == 1


async def test_govc(start_vcsim: StartVCSim, folder: Path) -> None:
    govc = await asyncio.to_thread(tools.govc)
    vcsim = await start_vcsim(transfer=4.0)
    backing = {"type": "DATASTORE", "datastore_id": vcsim.datastore}
    library = {"name": "templates", "type": "LOCAL", "storage_backings": [backing]}
    await vcsim.call("POST", f"{CONTENT}/local-library", {"create_spec": library})
    config = folder / "config.json"
    vcsim.configure(config, session_timeout=10)
    environ = {
        **govc_environment(vcsim, folder),
        "PATH": f"{govc}:{PATH}",
        "CLKEEPALIVED_CONFIG": str(config),
    }
    upload, download, upload_again, remove, sessions = commands("govc.md")

    up = await asyncio.to_thread(type_in, folder, upload, environ)
    assert up.returncode == 0, up.stdout
    # vcsim counts no versions: what can be said of an upload that it has completed is this.
    assert "clkeepalived: templates/debian-12, " in up.stdout

    path = folder / "debian-12.iso"
    content = path.read_bytes()
    path.unlink()
    down = await asyncio.to_thread(type_in, folder, download, environ)
    assert down.returncode == 0, down.stdout
    assert path.read_bytes() == content

    for text in (upload_again, sessions, remove):
        ran = await asyncio.to_thread(type_in, folder, text, environ)
        assert ran.returncode == 0, ran.stdout
    again = await asyncio.to_thread(type_in, folder, download, environ)
    assert again.returncode != 0  # it is gone
