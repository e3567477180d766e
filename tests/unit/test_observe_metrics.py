"""What is counted: zeros from the start, removed vCenters, and the words of a scrape."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from keepalived.host.slices import run_at_once
from keepalived.keeper.snapshot import EngineView, VCenterView
from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.model import FINAL_STATES, Kind, SessionKey, State
from keepalived.observe.cap import OTHERS
from keepalived.observe.health import LONGEST_SILENCE, Health
from keepalived.observe.metrics import Metrics
from tests.support.sessions import a_session, engine_view_of

KEY = SessionKey("lab", Kind.UPDATE, "a:b")
NOTHING = engine_view_of(0.0, (), (VCenterView("lab", up=True, in_flight=0, utilization=0.0),))
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass
class HandClock:
    """A clock whose hands are turned by the test."""

    boot_time: float = 0.0
    wall_time: float = 1_700_000_000.0

    def boot(self) -> float:
        return self.boot_time

    def wall(self) -> float:
        return self.wall_time


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def metrics(clock: HandClock) -> Metrics:
    metrics = Metrics(version="1.2.3", max_sessions=1000, clock=clock)
    metrics.notify(events.VCenterAdded("lab"))
    return metrics


def series(metrics: Metrics, engine_view: EngineView = NOTHING) -> Series:
    body, _ = metrics.scrape(run_at_once(metrics.state.text(engine_view)))
    return {
        (sample.name.removeprefix("clkeepalived_"), tuple(sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def by_label(exported: Series, name: str, label: str, vcenter: str = "lab") -> dict[str, float]:
    return {
        dict(labels)[label]: value
        for (sample, labels), value in exported.items()
        if sample == name and dict(labels).get("vcenter") == vcenter
    }


def end(state: State, vcenter: str = "lab") -> events.SessionEnd:
    key = KEY._replace(vcenter=vcenter)
    return events.SessionEnd(key, state, "", None, 1.0, 1, None, None, None, None)


def test_counters_stand_at_zero_for_every_outcome_and_state(metrics: Metrics) -> None:
    exported = series(metrics)

    assert by_label(exported, "keep_alives_total", "outcome") == {o.value: 0 for o in Outcome}
    assert by_label(exported, "sessions_ended_total", "state") == {s.value: 0 for s in FINAL_STATES}
    assert by_label(exported, "logins_total", "outcome") == {"ok": 0, "refused": 0, "failed": 0}


def test_a_vcenter_added_at_a_reload_starts_at_zero_and_the_others_keep_counting(
    metrics: Metrics,
) -> None:
    metrics.notify(end(State.EXPIRED))
    metrics.notify(events.VCenterAdded("prod"))
    metrics.notify(events.VCenterAdded("lab"))

    exported = series(metrics)
    assert by_label(exported, "sessions_ended_total", "state")["EXPIRED"] == 1
    assert by_label(exported, "sessions_ended_total", "state", "prod") == {
        s.value: 0 for s in FINAL_STATES
    }


def test_a_removed_vcenters_series_go_and_late_answers_do_not_bring_them_back(
    metrics: Metrics,
) -> None:
    metrics.notify(events.VCenterAdded("prod"))
    metrics.notify(events.VCenterRemoved("lab"))
    metrics.notify(events.KeepAliveAnswered(KEY, Outcome.OK, 0.1))
    metrics.notify(end(State.DONE))
    metrics.notify(events.LoginTried("lab", "ok"))
    metrics.notify(events.VCenterRemoved("lab"))

    exported = series(metrics, engine_view_of(0.0, (), ()))
    assert [labels for _, labels in exported if ("vcenter", "lab") in labels] == []
    assert [labels for _, labels in exported if ("vcenter", "prod") in labels] != []


def test_events_move_their_own_counter_alone(metrics: Metrics) -> None:
    metrics.notify(events.KeepAliveAnswered(KEY, Outcome.TIMED_OUT, 0.1))
    metrics.notify(end(State.REMOVED))
    metrics.notify(events.LoginTried("lab", "refused"))
    metrics.notify(events.SourceFailed("a.yaml", ("bad",)))

    exported = series(metrics)
    keep_alives = by_label(exported, "keep_alives_total", "outcome")
    assert {name for name, value in keep_alives.items() if value} == {"timed_out"}
    ends = by_label(exported, "sessions_ended_total", "state")
    assert {name for name, value in ends.items() if value} == {"REMOVED"}
    logins = by_label(exported, "logins_total", "outcome")
    assert {name for name, value in logins.items() if value} == {"refused"}
    assert exported["source_errors_total", (("source", "a.yaml"),)] == 1


def test_a_source_is_broken_until_it_recovers(metrics: Metrics) -> None:
    broken = "source_broken", (("source", "a.yaml"),)
    assert broken not in series(metrics)
    metrics.notify(events.SourceFailed("a.yaml", ("bad",)))
    assert series(metrics)[broken] == 1

    metrics.notify(events.SourceRecovered("a.yaml"))
    assert series(metrics)[broken] == 0


def by_source(metrics: Metrics, name: str) -> dict[str, float]:
    return {
        dict(labels)["source"]: value
        for (found, labels), value in series(metrics).items()
        if found == name
    }


def test_only_so_many_sources_have_series_of_their_own(metrics: Metrics) -> None:
    def shown(name: str) -> dict[str, float]:
        return by_source(metrics, name)

    for number in range(100):
        metrics.notify(events.SourceFailed(f"{number}.yaml", ("bad",)))
    assert OTHERS not in shown("source_broken")
    metrics.notify(events.SourceFailed("more.yaml", ("bad",)))
    metrics.notify(events.SourceFailed("still-more.yaml", ("bad",)))
    assert len(shown("source_broken")) == 101
    assert shown("source_broken")[OTHERS] == 1
    assert shown("source_errors_total")[OTHERS] == 2

    metrics.notify(events.SourceRecovered("more.yaml"))
    assert shown("source_broken")[OTHERS] == 1
    metrics.notify(events.SourceRecovered("7.yaml"))
    assert shown("source_broken")["7.yaml"] == 0
    metrics.notify(events.SourceFailed("still-more.yaml", ("bad",)))
    assert "7.yaml" not in shown("source_errors_total")
    assert shown("source_broken")["still-more.yaml"] == 1
    assert shown("source_broken")[OTHERS] == 0
    assert set(metrics.broken_sources) == {
        *(f"{number}.yaml" for number in range(100) if number != 7),
        "still-more.yaml",
    }


def test_ever_new_names_of_broken_files_add_no_series_for_ever(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.notify(events.SourceFailed(f"{number}.yaml", ("bad",)))
        metrics.notify(events.SourceRecovered(f"{number}.yaml"))
    assert len(by_source(metrics, "source_broken")) == 100
    assert len(by_source(metrics, "source_errors_total")) == 100
    assert metrics.broken_sources == ()


def test_histograms_put_observations_where_they_belong(metrics: Metrics) -> None:
    metrics.notify(events.KeepAliveAnswered(KEY, Outcome.OK, 0.02))
    metrics.notify(events.Renewed(KEY, False, None, None))
    metrics.notify(events.Renewed(KEY, False, 149.0, None))
    metrics.notify(events.Renewed(KEY, False, -3.0, None))
    metrics.notify(events.AttemptStarted("lab", 0.003))
    metrics.notify(events.AttemptStarted("lab", 0.0))

    exported = series(metrics)
    durations = buckets(exported, "keep_alive_duration_seconds")
    assert (durations["0.01"], durations["0.025"], durations["30.0"]) == (0, 1, 1)
    slacks = buckets(exported, "renewal_slack_seconds")
    # Overdue counts as 0: a negative sum would look like a restart.
    assert (slacks["0.0"], slacks["120.0"], slacks["150.0"]) == (1, 1, 2)
    assert exported["renewal_slack_seconds_sum", ()] == 149.0
    lags = buckets(exported, "schedule_lag_seconds")
    assert (lags["0.001"], lags["0.005"], lags["60.0"]) == (1, 2, 2)


def buckets(exported: Series, name: str) -> dict[str, float]:
    return {
        dict(labels)["le"]: value
        for (sample, labels), value in exported.items()
        if sample == f"{name}_bucket"
    }


def test_a_failed_reload_keeps_the_time_of_the_last_good_one(
    metrics: Metrics, clock: HandClock
) -> None:
    metrics.configuration_read(successful=True)
    clock.wall_time += 60
    metrics.configuration_read(successful=False)

    exported = series(metrics)
    assert exported["config_last_reload_successful", ()] == 0
    assert exported["config_last_reload_success_timestamp_seconds", ()] == 1_700_000_000.0


def test_a_metric_has_no_second_series_for_when_it_was_made(metrics: Metrics) -> None:
    assert [name for name, _ in series(metrics) if name.endswith("_created")] == []


def test_any_label_survives_the_way_to_prometheus(metrics: Metrics) -> None:
    library, item = 'Vorlagen "süß"\\{}', "zwei\nZeilen"
    view = a_session(
        SessionKey("lab", Kind.UPDATE, "815994e5:9c7e.16e9_-"), library=library, item=item
    )
    body, _ = metrics.scrape(
        run_at_once(metrics.state.text(engine_view_of(0.0, (view,), NOTHING.vcenters)))
    )

    info = next(
        family
        for family in text_string_to_metric_families(body.decode())
        if family.name == "clkeepalived_session_info"
    )
    assert info.samples[0].labels == {
        "vcenter": "lab",
        "session_id": "815994e5:9c7e.16e9_-",
        "kind": "update",
        "library": library,
        "item": item,
        "source": "file",
    }


def test_the_cap_can_be_changed_while_running(metrics: Metrics) -> None:
    view = a_session(KEY, State.PENDING)
    crowd = tuple(view._replace(key=KEY._replace(id=str(number))) for number in range(30))
    engine_view = engine_view_of(0.0, crowd, NOTHING.vcenters)
    for size in (20, 5):
        metrics.state.cap.size = size
        assert metrics.state.cap.size == size
        assert len(by_label(series(metrics, engine_view), "session_state", "session_id")) == size


def test_a_scrape_speaks_what_it_was_asked_for(metrics: Metrics) -> None:
    state = run_at_once(metrics.state.text(NOTHING))
    plain, headers = metrics.scrape(state)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "Content-Encoding" not in headers

    body, headers = metrics.scrape(state, "application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = openmetrics_families(body.decode())  # type: ignore[no-untyped-call]  # left bare
    names = {family.name for family in parsed}
    assert "clkeepalived_keep_alives" in names
    assert "clkeepalived_sessions" in names

    body, headers = metrics.scrape(state, "text/plain", "deflate, gzip;q=0.9")
    assert headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(body)) == pytest.approx(len(plain), rel=0.05)


def test_two_daemons_in_one_process_share_nothing(metrics: Metrics, clock: HandClock) -> None:
    other = Metrics(version="1.2.3", max_sessions=1, clock=clock)
    other.notify(events.VCenterAdded("lab"))
    metrics.notify(events.LoginTried("lab", "ok"))

    assert by_label(series(other), "logins_total", "outcome")["ok"] == 0


def test_health_names_the_stuck_and_the_missing() -> None:
    tick_ages = {"lab": 0.1, "prod": LONGEST_SILENCE + 0.1}
    health = Health(lambda: tick_ages, ["the session files", "the control socket"])

    assert health.stalled() == ("the scheduler of prod has not ticked for 15 s",)
    tick_ages["prod"] = LONGEST_SILENCE
    assert not health.stalled()
    health.done("the control socket")
    health.done("the control socket")
    assert health.missing == ("the session files",)
    health.done("the session files")
    assert not health.missing
