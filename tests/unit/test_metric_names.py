"""Names and labels of metrics are a contract, which alerts and dashboards have entered into."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from keepalived.host.clock import SystemClock
from keepalived.host.slices import run_at_once
from keepalived.keeper.snapshot import VCenterView
from keepalived.lease.events import SourceFailed, VCenterAdded
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.metrics import Metrics
from tests.support.sessions import a_session, engine_view_of

OF_A_VCENTER, OF_A_SESSION = ("vcenter",), ("vcenter", "session_id")
CONTRACT: dict[str, tuple[str, tuple[str, ...]]] = {
    "build_info": ("gauge", ("version", "python")),
    "sessions": ("gauge", ("vcenter", "state")),
    "sessions_at_risk": ("gauge", OF_A_VCENTER),
    "sessions_overdue": ("gauge", OF_A_VCENTER),
    "sessions_stalled": ("gauge", OF_A_VCENTER),
    "sessions_ended_total": ("counter", ("vcenter", "state")),
    "session_state": ("gauge", (*OF_A_SESSION, "kind", "state")),
    "session_info": ("gauge", (*OF_A_SESSION, "kind", "library", "item", "source")),
    "session_deadline_timestamp_seconds": ("gauge", OF_A_SESSION),
    "session_lifetime_seconds": ("gauge", OF_A_SESSION),
    "session_client_progress_ratio": ("gauge", OF_A_SESSION),
    "session_transferred_bytes": ("gauge", OF_A_SESSION),
    "min_slack_seconds": ("gauge", OF_A_VCENTER),
    "keep_alives_total": ("counter", ("vcenter", "outcome")),
    "keep_alive_duration_seconds": ("histogram", ()),
    "renewal_slack_seconds": ("histogram", ()),
    "schedule_lag_seconds": ("histogram", ()),
    "in_flight": ("gauge", OF_A_VCENTER),
    "utilization_ratio": ("gauge", OF_A_VCENTER),
    "vcenter_up": ("gauge", OF_A_VCENTER),
    "logins_total": ("counter", ("vcenter", "outcome")),
    "source_errors_total": ("counter", ("source",)),
    "source_broken": ("gauge", ("source",)),
    "config_last_reload_successful": ("gauge", ()),
    "config_last_reload_success_timestamp_seconds": ("gauge", ()),
    "session_stalled": ("gauge", OF_A_SESSION),
}


def test_every_metric_is_there_with_its_labels_and_there_is_no_other() -> None:
    metrics = Metrics(version="1", max_sessions=10, clock=SystemClock())
    metrics.notify(VCenterAdded("lab"))
    metrics.notify(SourceFailed("a.yaml", ("bad",)))
    key = SessionKey("lab", Kind.UPDATE, "a")
    held = a_session(key, deadline=100.0, progress=1, transferred_bytes=2, item="debian")
    stalled = held._replace(stalled=True)
    lab = VCenterView("lab", up=True, in_flight=0, utilization=0)
    body, _ = metrics.scrape(
        run_at_once(metrics.state.text(engine_view_of(0.0, (stalled,), (lab,))))
    )

    found: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(body.decode()):
        name = family.name.removeprefix("clkeepalived_")
        if name == family.name:
            assert name.startswith(("process_", "python_")), name
            continue
        if family.type == "counter":
            name += "_total"
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, labels - {"le"})
    assert found == {name: (kind, set(labels)) for name, (kind, labels) in CONTRACT.items()}
