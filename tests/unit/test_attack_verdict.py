"""When an attack is failed, and whether what it does is hostile enough to count."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.attack import verdict
from benchmarks.attack.hostile_files import Folder
from benchmarks.attack.site import BROKEN_CONFIGURATIONS, Users, a_site, configuration
from keepalived.settings import ConfigError, load_settings

VCENTER = {"url": "http://127.0.0.1:9", "username": "somebody"}


def stops(*own: float, longest: float = 0.0) -> verdict.Stops:
    """What a probe tells of a loop that stood still for so long by its own work."""
    worst = [(each, each, 0.0) for each in sorted(own, reverse=True)]
    return verdict.Stops.from_dict({"longest": longest, "worst": worst, "milliseconds": [len(own)]})


@pytest.mark.parametrize(
    ("attacked", "idle", "is_good"),
    [
        ((0.199, 0.199, 0.199), (0.001, 0.001, 0.001), True),
        ((0.201, 0.201, 0.201), (0.001, 0.001, 0.001), False),
        ((0.201, 0.201, 0.201), (0.030, 0.030, 0.030), True),
        ((0.301, 0.301, 0.301), (0.030, 0.030, 0.030), False),
        ((9.0, 9.0, 0.199), (0.001, 0.001, 0.001), True),
        ((0.201, 0.201, 0.201), (9.0, 9.0, 0.001), False),
    ],
)
def test_a_stop_that_returns_is_held_to_an_idle_loops(
    attacked: Sequence[float], idle: Sequence[float], is_good: bool
) -> None:
    finding = verdict.judge_stops(stops(*attacked), stops(*idle))
    assert finding.is_good is is_good
    assert "20 ms" in finding.allowed


def test_the_longest_stop_is_told_whatever_it_came_from() -> None:
    finding = verdict.judge_stops(
        stops(0.01, 0.01, 0.01, longest=0.4), stops(0.0, 0.0, 0.0, longest=0.2)
    )
    assert finding.seen.startswith("400 ms, 200 ms idle: 2.0 times")


def test_a_probe_that_says_nothing_fails_the_run() -> None:
    assert not verdict.judge_stops(verdict.Stops(), stops(0.001)).is_good
    assert not verdict.judge_stops(stops(0.001), verdict.Stops()).is_good


def test_one_lost_session_fails_the_run() -> None:
    assert verdict.judge_lost("lost", ["a", "b"], {"c": "expired"}).is_good
    finding = verdict.judge_lost("lost", ["a", "b"], {"b": "expired"})
    assert (finding.is_good, finding.seen) == (False, "1 of 2 (expired)")
    assert not verdict.judge_lost("lost", [], {}).is_good


def test_memory_may_grow_so_far_and_no_further() -> None:
    assert verdict.judge_memory(10, 10 + verdict.MEMORY_MOST).is_good
    assert not verdict.judge_memory(10, 11 + verdict.MEMORY_MOST).is_good
    assert not verdict.judge_memory(10, 0).is_good


def test_everything_acknowledged_has_to_be_there() -> None:
    assert verdict.judge_kept(["a"], ["a", "b"]).is_good
    assert not verdict.judge_kept(["a", "b"], ["a"]).is_good
    assert not verdict.judge_kept([], ["a"]).is_good


def test_honest_requests_have_to_be_granted_in_time() -> None:
    assert verdict.Service([(0.1, "GET /metrics")]).judge().is_good
    assert not verdict.Service([(60.1, "GET /metrics")]).judge().is_good
    assert not verdict.Service([(0.1, "GET /metrics")], ["PUT: 503"]).judge().is_good
    assert not verdict.Service().judge().is_good


def test_a_run_that_left_an_attack_out_is_failed() -> None:
    assert verdict.judge_attacks("hostile files", {"pipes": 3, "names": 1}).is_good
    finding = verdict.judge_attacks("hostile files", {"pipes": 3, "names": 0})
    assert not finding.is_good
    assert finding.seen.endswith("never: names")
    assert not verdict.judge_attacks("hostile files", {}).is_good


@pytest.mark.parametrize("text", BROKEN_CONFIGURATIONS)
def test_a_broken_configuration_is_one(tmp_path: Path, text: str) -> None:
    # Of one that can be read, the daemon would let everything go that it does not name.
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_settings(path, {})


def test_both_daemons_have_the_same_configuration_but_for_what_is_attacked(tmp_path: Path) -> None:
    site = a_site(tmp_path, Users(), None)
    loaded = []
    for daemon, more in ((site.attacked, ("http://127.0.0.1:8", [("lab", "a")])), (site.idle, ())):
        daemon.config.write_text(configuration(site, daemon, VCENTER, *more))
        environ = {**daemon.environ, "ATTACK_PASSWORD": "no-matter"}
        loaded.append(load_settings(daemon.config, environ).settings)
    attacked, idle = loaded
    assert attacked.vcenters["lab"] == idle.vcenters["lab"]
    assert (attacked.log, attacked.retention) == (idle.log, idle.retention)
    assert [each.id for each in attacked.sessions] == ["a"]
    assert (set(attacked.vcenters), set(idle.vcenters)) == ({"lab", "bad"}, {"lab"})


def test_each_hostile_file_can_be_made_and_removed(tmp_path: Path) -> None:
    watched, own = tmp_path / "watched", tmp_path / "own"
    watched.mkdir()
    own.mkdir()
    targets = [f"session-{number}" for number in range(5)]
    order = {"folder": str(watched), "own": str(own), "targets": targets, "seed": 1}
    folder = Folder(order)
    for make in folder.attacks().values():
        before = len(os.listdir(os.fsencode(watched)))
        make()
        assert len(os.listdir(os.fsencode(watched))) > before
    folder.tidy()
    assert os.listdir(watched) == []
