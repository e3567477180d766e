"""The shipped manifests: against the published schemas, and against what the program takes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from keepalived.settings import Settings
from keepalived.settings.document import parse
from keepalived.validation import validate
from tests.system.pods import SIDECAR, UPLOADER, Document, containers, documents, one

ROOT = Path(__file__).parents[2]
OF_THE_OPERATOR = "monitoring.coreos.com/v1"
NATIVE, PLAIN = "job.yaml", "job-plain-sidecar.yaml"
# What the two forms of the sidecar may differ in.
OF_NATIVE_SIDECARS = ("restartPolicy",)

CORE = [each for each in documents() if each["apiVersion"] != OF_THE_OPERATOR]


def label(document: Document) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


@pytest.fixture(scope="module")
def kubernetes() -> ModuleType:
    """The published schemas: imported late, as this takes seconds of every worker's collection."""
    return importlib.import_module("kubernetes_validate")


@pytest.mark.parametrize("version", ["1.29", "latest"])
@pytest.mark.parametrize("document", CORE, ids=label)
def test_each_is_what_the_published_schema_says(
    document: Document, version: str, kubernetes: ModuleType
) -> None:
    version = kubernetes.latest_version() if version == "latest" else version
    kubernetes.validate(document, version, strict=True)


def test_a_mistake_would_be_found(kubernetes: ModuleType) -> None:
    broken = one(documents(NATIVE), "Job")
    containers(broken)[SIDECAR]["restartPolicie"] = "Always"
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(broken, "1.29", strict=True)


@pytest.mark.parametrize(
    "document", [each for each in CORE if each["kind"] == "ConfigMap"], ids=label
)
def test_each_configuration_is_a_good_one_and_its_paths_are_mounted(document: Document) -> None:
    text = document["data"]["config.yaml"]
    settings = validate(Settings, parse("config.yaml", text.encode()).data)
    host = settings.http.listen.rpartition(":")[0]
    assert host in ("", "0.0.0.0", "[::]")  # noqa: S104 - or nobody but the pod could scrape it
    for job in (one(documents(name), "Job") for name in (NATIVE, PLAIN)):
        mounts = {each["mountPath"] for each in containers(job)[SIDECAR]["volumeMounts"]}
        password = settings.vcenters["lab"].password_file
        assert password is not None
        for path in (password, settings.control.socket, settings.state.path):
            assert str(path.parent) in mounts
        uploaders = containers(job)[UPLOADER]
        assert [each["mountPath"] for each in uploaders["volumeMounts"]] == [
            str(settings.control.socket.parent)
        ]


def test_the_configurations_differ_in_when_they_end_alone() -> None:
    of_native = one(documents("settings.yaml"), "ConfigMap")["data"]["config.yaml"]
    of_plain = one(documents(PLAIN), "ConfigMap")["data"]["config.yaml"]
    native, plain = yaml.safe_load(of_native), yaml.safe_load(of_plain)
    assert plain.pop("exit_when_idle")
    assert native == plain


def test_both_forms_have_the_same_containers() -> None:
    native, plain = (containers(one(documents(name), "Job")) for name in (NATIVE, PLAIN))
    for name in OF_NATIVE_SIDECARS:
        del native[SIDECAR][name]
    assert native == plain


def test_the_native_sidecar_is_an_init_container_that_runs_on() -> None:
    spec: dict[str, Any] = one(documents(NATIVE), "Job")["spec"]["template"]["spec"]
    (sidecar,) = spec["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert [each["name"] for each in spec["containers"]] == [UPLOADER]


def test_the_pod_monitor_finds_the_pods_and_their_port() -> None:
    monitor = one(documents("pod-monitor.yaml"), "PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for name in (NATIVE, PLAIN):
        job = one(documents(name), "Job")
        assert wanted.items() <= job["spec"]["template"]["metadata"]["labels"].items()
        ports = {each["name"] for each in containers(job)[SIDECAR]["ports"]}
        assert endpoint["port"] in ports


def test_the_rules_for_the_operator_are_those_for_prometheus() -> None:
    rules = yaml.safe_load((ROOT / "config/prometheus/clkeepalived.rules.yml").read_text())
    assert one(documents("prometheus-rule.yaml"), "PrometheusRule")["spec"] == rules
    tool = ROOT / "installer/prometheus_rule.py"
    made = subprocess.run([sys.executable, tool], check=True, capture_output=True, text=True)
    assert made.stdout == (ROOT / "config/kubernetes/prometheus-rule.yaml").read_text()
