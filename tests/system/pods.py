"""A plain pod, for podman, from the template of the Job that is shipped.

What podman 4.3 cannot do, the test does in its place, as a kubelet would: the pod's group owns the
shared folders (`fsGroup`), and ports are not published on the host. It hands Secrets over as they
stand in the file, encoded.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[2] / "config/kubernetes"
SIDECAR, UPLOADER = "clkeepalived", "uploader"

Document = dict[str, Any]


def documents(*names: str) -> list[Document]:
    """Return all documents of some of the shipped files, or of every one."""
    files = [MANIFESTS / name for name in names] or sorted(MANIFESTS.glob("*.yaml"))
    return [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]


def containers(job: Document) -> dict[str, Document]:
    """Return the containers of a Job's template by name, init containers included."""
    spec = job["spec"]["template"]["spec"]
    return {each["name"]: each for each in (*spec.get("initContainers", ()), *spec["containers"])}


def one(found: list[Document], kind: str) -> Document:
    """Return the only document of a kind."""
    (document,) = [each for each in found if each["kind"] == kind]
    return document


def plain_pod(
    folder: Path,
    *,
    images: dict[str, str],
    url: str,
    username: str,
    password: str,
    lifetime: float,
    idle: float,
    script: Path,
    environ: dict[str, str],
) -> Path:
    """Write what podman is to play: the pod, its configuration and its password.

    `script` runs with Python in the place of the uploader, with `environ`.
    """
    found = copy.deepcopy(documents("settings.yaml", "job-plain-sidecar.yaml"))
    config = [each for each in found if each["kind"] == "ConfigMap"][-1]  # the Job's own one
    text = config["data"]["config.yaml"]
    for before, after in (
        ("https://vcsa.lab.example", url),
        ("uploader@vsphere.local", f"{username}\n    session_timeout: {lifetime}"),
        ("exit_when_idle: 5m", f"exit_when_idle: {idle}"),
    ):
        assert before in text, before
        text = text.replace(before, after)
    config["data"]["config.yaml"] = text
    secret = one(found, "Secret")
    del secret["stringData"]
    secret["data"] = {"password": password}

    job = one(found, "Job")
    template = job["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "upload", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    named = containers(job)
    for name, image in images.items():
        named[name]["image"] = image
        named[name].pop("ports", None)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            named[name].pop(probe, None)  # which podman runs by systemd timers alone
    named[UPLOADER] |= {
        "command": ["/usr/bin/python3", "-c", script.read_text()],
        "args": [],
        "env": [{"name": name, "value": value} for name, value in environ.items()],
    }
    group = pod["spec"]["securityContext"]["fsGroup"]
    for volume in pod["spec"]["volumes"]:
        if "emptyDir" in volume:
            place = folder / volume["name"]
            place.mkdir()
            os.chown(place, -1, group)
            place.chmod(0o2777)
            del volume["emptyDir"]
            volume["hostPath"] = {"path": str(place), "type": "Directory"}
    written = folder / "pod.yaml"
    written.write_text(yaml.safe_dump_all([config, secret, pod]))
    return written
