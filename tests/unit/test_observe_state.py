"""State as metrics: aggregates, the cap on series of single sessions, and what never lingers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keepalived.host.slices import run_at_once
from keepalived.keeper.session_table import SessionTable
from keepalived.keeper.snapshot import VCenterView
from keepalived.lease.holds import Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import Session, at_risk_among
from keepalived.observe.cap import SeriesLimiter
from keepalived.observe.state import StateExporter
from tests.support.sessions import FILE_HOLD, a_session, engine_view_of

BY_COMMAND = replace(FILE_HOLD, owner=Owner(OwnerKind.COMMAND))

NOW = 1000.0
LAB = VCenterView("lab", up=True, in_flight=3, utilization=0.25)
PROD = VCenterView("prod", up=False, in_flight=0, utilization=0.0)


@dataclass
class FrozenClock:
    """A clock whose hands stand still."""

    boot_time: float = NOW
    wall_time: float = 1_700_000_000.0

    def boot(self) -> float:
        return self.boot_time

    def wall(self) -> float:
        return self.wall_time


def session(
    name: str,
    state: State = State.ACTIVE,
    *,
    slack: float | None = 150.0,
    vcenter: str = "lab",
    kind: Kind = Kind.UPDATE,
) -> Session:
    return a_session(
        SessionKey(vcenter, kind, name),
        state,
        deadline=None if slack is None or state.is_final else NOW + slack,
        progress=40,
        transferred_bytes=1024,
        library="Templates",
        item="debian-12",
    )


def export(
    sessions: Iterable[Session],
    vcenters: tuple[VCenterView, ...] = (LAB, PROD),
    exporter: StateExporter | None = None,
) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the value of each series by family and label values."""
    exporter = exporter or StateExporter(FrozenClock(), 1000)
    text = run_at_once(exporter.text(engine_view_of(NOW, sessions, vcenters)))
    return {
        family.name.removeprefix("clkeepalived_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


def test_every_vcenter_and_state_is_there_from_the_start() -> None:
    exported = export([])

    assert exported["sessions"] == {
        (vcenter, state.value): 0 for vcenter in ("lab", "prod") for state in State
    }
    assert exported["sessions_at_risk"] == {("lab",): 0, ("prod",): 0}
    assert exported["sessions_overdue"] == {("lab",): 0, ("prod",): 0}
    assert exported["min_slack_seconds"] == {}


def test_at_risk_counts_the_overdue_and_leaves_out_the_ended_and_the_new() -> None:
    exported = export(
        [
            session("well", slack=120.0),
            session("at-risk", slack=119.0),
            session("overdue", slack=-30.0),
            session("new", State.PENDING, slack=None),
            session("ended", State.EXPIRED),
            session("elsewhere", slack=200.0, vcenter="prod"),
        ]
    )

    assert exported["sessions_at_risk"] == {("lab",): 2, ("prod",): 0}
    assert exported["sessions_overdue"] == {("lab",): 1, ("prod",): 0}
    assert exported["min_slack_seconds"] == {("lab",): -30.0, ("prod",): 200.0}
    assert exported["sessions"]["lab", "ACTIVE"] == 3
    assert exported["sessions"]["lab", "PENDING"] == 1
    assert exported["sessions"]["lab", "EXPIRED"] == 1


def test_deadlines_are_wall_time_and_only_of_the_living() -> None:
    exported = export(
        [
            session("alive", slack=150.0),
            session("new", State.PENDING, slack=None),
            session("ended", State.DONE),
        ]
    )

    assert exported["session_deadline_timestamp_seconds"] == {("lab", "alive"): 1_700_000_150.0}
    assert exported["session_lifetime_seconds"] == {("lab", "alive"): 300.0, ("lab", "new"): 300.0}
    assert exported["session_state"]["lab", "ended", "update", "DONE"] == 1
    assert exported["session_client_progress_ratio"]["lab", "ended"] == 0.4


def test_what_is_unknown_has_no_series() -> None:
    unknown = a_session(SessionKey("lab", Kind.UPDATE, "a"), State.PENDING)
    exported = export([unknown])

    assert exported["session_client_progress_ratio"] == {}
    assert exported["session_transferred_bytes"] == {}
    assert exported["session_info"] == {("lab", "a", "update", "", "", "file"): 1}


def test_of_single_sessions_the_stalled_alone_say_so() -> None:
    stalled = session("b")._replace(stalled=True)
    ended = session("c", State.RELEASED)._replace(stalled=True)
    exported = export([session("a"), stalled, ended])

    assert exported["sessions_stalled"] == {("lab",): 1, ("prod",): 0}
    assert exported["session_stalled"] == {("lab", "b"): 1}


def test_several_sources_are_one_label() -> None:
    exported = export([session("a")._replace(holds=(FILE_HOLD, BY_COMMAND))])

    assert list(exported["session_info"]) == [
        ("lab", "a", "update", "Templates", "debian-12", "command,file")
    ]


def test_an_id_held_as_both_kinds_yields_no_series_twice() -> None:
    ended = session("a", State.NOT_FOUND, kind=Kind.DOWNLOAD)._replace(acknowledged=None)
    exporter = StateExporter(FrozenClock(), 10)
    text = run_at_once(exporter.text(engine_view_of(NOW, (ended, session("a")), (LAB,))))

    for family in text_string_to_metric_families(text):
        labels = [tuple(sample.labels.items()) for sample in family.samples]
        assert len(labels) == len(set(labels)), family.name
    exported = export([ended, session("a")])
    assert exported["session_client_progress_ratio"] == {("lab", "a"): 0.4}
    assert len(exported["session_state"]) == 2


def test_a_vcenter_that_is_gone_takes_its_sessions_series_along() -> None:
    exported = export([session("a"), session("b", vcenter="prod")], vcenters=(LAB,))

    for name, series in exported.items():
        assert all(labels[0] == "lab" for labels in series), name
    assert exported["session_state"] == {("lab", "a", "update", "ACTIVE"): 1}


def test_the_cap_bounds_series_but_not_aggregates() -> None:
    exporter = StateExporter(FrozenClock(), 10)
    exported = export([session(str(n)) for n in range(500)], exporter=exporter)

    assert exported["sessions"]["lab", "ACTIVE"] == 500
    assert len(exported["session_state"]) == 10


def shown(cap: SeriesLimiter, sessions: Iterable[Session]) -> list[str]:
    """Return who is chosen, in order."""
    table = SessionTable(sessions)
    at_risk = at_risk_among(table.live.values(), NOW)
    return [view.key.id for view in cap.choose(table.live, table.ended, at_risk, {"lab"})]


def test_who_is_in_stays_in_whoever_comes() -> None:
    cap = SeriesLimiter(3)
    assert shown(cap, [session(name) for name in "def"]) == ["d", "e", "f"]
    assert shown(cap, [session(name) for name in "abcdefgh"]) == ["d", "e", "f"]


def test_the_place_of_whoever_is_forgotten_or_ended_is_given_on() -> None:
    cap = SeriesLimiter(3)
    shown(cap, [session(name) for name in "abc"])

    assert shown(cap, [session(name) for name in "acde"]) == ["a", "c", "d"]
    after_end = [session("a", State.EXPIRED), *(session(name) for name in "cde")]
    assert shown(cap, after_end) == ["c", "d", "e"]


def test_the_ended_stay_while_there_is_room() -> None:
    cap = SeriesLimiter(3)
    shown(cap, [session(name) for name in "abc"])
    ended = [session(name, State.DONE) for name in "xyzab"]

    assert shown(cap, [*ended, session("c")]) == ["c", "a", "b"]
    assert shown(cap, [*ended, session("c"), session("d")]) == ["c", "d", "a"]


def test_those_at_risk_are_always_in_but_do_not_take_a_place() -> None:
    cap = SeriesLimiter(2)
    shown(cap, [session(name) for name in "ab"])
    crowd = [session(name) for name in "abc"] + [session(name, slack=10.0) for name in "de"]

    assert shown(cap, crowd) == ["d", "e", "a", "b"]
    assert shown(cap, [session(name) for name in "abcde"]) == ["a", "b"]


def test_a_member_at_risk_is_shown_once() -> None:
    cap = SeriesLimiter(2)

    assert shown(cap, [session("a", slack=10.0), session("b"), session("c")]) == ["a", "b"]


def test_a_smaller_cap_keeps_the_first_and_none_keeps_those_at_risk() -> None:
    cap = SeriesLimiter(3)
    shown(cap, [session(name) for name in "abc"])
    cap.size = 1

    assert shown(cap, [session(name) for name in "abc"]) == ["a"]
    cap.size = 0
    assert shown(cap, [session("a"), session("b", slack=1.0)]) == ["b"]


@pytest.mark.parametrize("size", [0, 1, 7, 50])
def test_never_more_than_the_cap(size: int) -> None:
    cap = SeriesLimiter(size)
    for start in range(0, 40, 3):
        crowd = [session(str(n)) for n in range(start, start + 20)]
        assert len(shown(cap, crowd)) == min(size, 20)


def test_without_session_labels_nothing_names_a_session_and_the_numbers_stay() -> None:
    exporter = StateExporter(FrozenClock(), 1000, session_labels=False)
    sessions = [session("well"), session("at risk", slack=50.0), session("overdue", slack=-5.0)]

    exported = export([*sessions, session("gone", State.ERROR)], exporter=exporter)

    assert not [name for name, series in exported.items() if name.startswith("session_") and series]
    assert exported["sessions_at_risk"]["lab",] == 2
    assert exported["sessions_overdue"]["lab",] == 1
    assert exported["sessions"]["lab", "ERROR"] == 1
    assert exported["min_slack_seconds"] == {("lab",): -5.0}

    exporter.session_labels = True
    assert len(export(sessions, exporter=exporter)["session_state"]) == 3
