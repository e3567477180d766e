"""Each event, followed to the log line, the metric and the line of the event stream.

Each type of event is caused in the real daemon here, on the fake clock: from the answer of the
simulated vCenter to what an operator reads. Tests of a single link stand beside its room.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.model import FINAL_STATES, SessionKey, State
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail, Latency, Refuse
from keepalived.simulator.resources import SourceType
from keepalived.simulator.transfers import ReceivedUpload
from keepalived.simulator.wire import Request, Response
from keepalived.validation import Secret
from tests.support.engine import NAME, simulator_in_loop
from tests.support.observed import Observed, observed, path_of

pytestmark = pytest.mark.looptime

LIFETIME = 300.0
CHUNK = b"x" * 1000
TOKEN_WARNING = "the vCenter no longer accepts the uploader's API token; lend a new one"
SERVER_ERROR = "HTTP 500: internal_server_error: Injected fault: 500."


SLACK = "clkeepalived_renewal_slack_seconds"
LAG = "clkeepalived_schedule_lag_seconds"
DURATION = "clkeepalived_keep_alive_duration_seconds"
KEEP_ALIVES = "clkeepalived_keep_alives_total"
ENDS = "clkeepalived_sessions_ended_total"
LOGINS = "clkeepalived_logins_total"
LOGIN_OUTCOMES = ("ok", "refused", "failed")
BROKEN = "clkeepalived_source_broken"
SOURCE_ERRORS = "clkeepalived_source_errors_total"

_shown: set[type] = set()

Test = Callable[..., Awaitable[None]]


def shows(*kinds: type) -> Callable[[Test], Test]:
    """Note which types of events a test follows."""

    def note(test: Test) -> Test:
        _shown.update(kinds)
        return test

    return note


def of(key: SessionKey) -> dict[str, str]:
    """Return how a log line names a session."""
    return {"vcenter": key.vcenter, "session_id": key.id, "kind": key.kind.value}


def told_of(key: SessionKey) -> dict[str, str]:
    """Return how a line of the stream names a session."""
    return {"vcenter": key.vcenter, "kind": key.kind.value, "id": key.id}


def about(seconds: float, within: float = 2.0) -> Any:
    """Compare seconds of fake time, which may pass while a thread is waited for."""
    return pytest.approx(seconds, abs=within)


def labelled(metric: str, **labels: str) -> str:
    """Return a sample's name as `Observed.counted` has it."""
    pairs = ", ".join(f'"{name}": "{value}"' for name, value in labels.items())
    return f"{metric}{{{pairs}}}"


def under(metric: str, changes: dict[str, float]) -> dict[str, float]:
    """Return those changes that are of a metric."""
    return {name: change for name, change in changes.items() if name.startswith(metric)}


def test_each_type_of_event_is_followed_here() -> None:
    assert set(get_args(events.Event)) == _shown


async def uploading(simulator: Simulator, key: SessionKey) -> ReceivedUpload:
    """Begin an upload and let bytes arrive for ten minutes."""
    file = simulator.library.transfers.add(key.id, "disk.vmdk", SourceType.PUSH)
    upload = simulator.library.transfers.begin_upload(file.ticket or "")
    for _ in range(20):
        upload.write(CHUNK)
        await asyncio.sleep(30)
    return upload


# -- holds


@shows(events.HoldTaken, events.HoldReleased)
async def test_holds_come_and_go(tmp_path: Path) -> None:
    async with observed(tmp_path, simulator_in_loop()) as seen:
        key, before = seen.open(), seen.counted()
        await seen.hold(key)
        await seen.hold(key, owner={"ttl": "10m"})
        await seen.until_streamed("hold_taken", count=2)
        first, second = seen.logged("hold_taken")
        assert first == {"level": "debug", "event": "hold_taken", **of(key), "source": "none"}
        assert second == {**first, "source": "ttl"}
        mine = {**told_of(key), "uid": os.getuid()}
        assert seen.streamed("hold_taken") == [
            {"event": "hold_taken", **mine, "owner": "none"},
            {"event": "hold_taken", **mine, "owner": "ttl:600"},
        ]
        assert seen.logged("hold_released") == []
        await seen.release(key, "ttl")
        await seen.until_streamed("hold_released")
        gone = {"level": "debug", "event": "hold_released", **of(key), "source": "ttl"}
        assert seen.logged("hold_released") == [gone]
        assert seen.streamed("hold_released") == [
            {"event": "hold_released", **mine, "owner": "ttl:600"}
        ]
        # What is counted is of the renewals that holds lead to.
        assert not any("hold" in name for name in seen.changes(before))
        # The index of the control socket has it by its user.
        (mine_alone,) = (await seen.caller.get("/v1/sessions?mine=true")).body["sessions"]
        assert mine_alone["id"] == key.id


@shows(events.HoldChanged)
async def test_a_hold_is_changed(tmp_path: Path) -> None:
    async with observed(tmp_path, simulator_in_loop()) as seen:
        key, before = seen.open(), seen.counted()
        await seen.hold(key)
        await seen.hold(key, note="disk 2 of 3")
        await seen.hold(key, owner={"ttl": "10m"})
        await seen.until_streamed("hold_taken", count=2)
        # The change itself is neither logged as a hold, nor streamed, nor counted.
        assert len(seen.logged("hold_taken")) == len(seen.streamed("hold_taken")) == 2
        assert seen.logged("hold_released") == []
        assert [line["note"] for line in seen.logged("hold_updated_by")] == ["disk 2 of 3"]
        assert not any("hold" in name for name in seen.changes(before))


@shows(events.SessionForgotten)
async def test_a_session_is_forgotten(tmp_path: Path) -> None:
    async with observed(tmp_path, simulator_in_loop(), retention={"ended": 60}) as seen:
        key = seen.open()
        await seen.hold(key)
        await seen.release(key)
        await seen.until_streamed("session_ended")
        assert (await seen.caller.get(path_of(key))).status == 200
        told = len(seen.log), len(seen.stream)
        await asyncio.sleep(70)
        assert (await seen.caller.get(path_of(key))).status == 404
        assert (len(seen.log), len(seen.stream)) == told


# -- renewals


@shows(events.KeepAliveAnswered)
async def test_a_keep_alive_is_answered(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    async with observed(tmp_path, simulator) as seen:
        key, before = seen.open(), seen.counted()
        simulator.faults.add(Latency(2.0), route="*.keep_alive", count=1)
        await seen.hold(key)
        await seen.until("first_renewal")
        changes = seen.changes(before)
        assert under(KEEP_ALIVES, changes) == {
            labelled(KEEP_ALIVES, vcenter="lab", outcome="ok"): 1.0
        }
        durations = under(DURATION, changes)
        assert durations[f"{DURATION}_sum"] == pytest.approx(2.0)
        assert labelled(f"{DURATION}_bucket", le="1.0") not in durations
        assert durations[labelled(f"{DURATION}_bucket", le="2.5")] == 1.0
        before = seen.counted()
        simulator.faults.add(Fail(500), route="*.keep_alive", count=1)
        await asyncio.sleep(LIFETIME / 2)
        assert under(KEEP_ALIVES, seen.changes(before)) == {
            labelled(KEEP_ALIVES, vcenter="lab", outcome="failed"): 1.0,
            labelled(KEEP_ALIVES, vcenter="lab", outcome="ok"): 1.0,
        }


@shows(events.AttemptStarted)
async def test_an_attempt_is_started(tmp_path: Path) -> None:
    async with observed(tmp_path, simulator_in_loop()) as seen:
        key, before = seen.open(), seen.counted()
        await seen.hold(key)
        await seen.until("first_renewal")
        lags = under(LAG, seen.changes(before))
        assert lags[labelled(f"{LAG}_bucket", le="+Inf")] == 1.0
        assert lags.get(f"{LAG}_sum", 0.0) < 1.0
        # The machine is suspended when the second renewal is due in 55 s, for 100 s.
        await asyncio.sleep(50)
        before = seen.counted()
        seen.clock.jump(100)
        await seen.until("renewed")
        lags = under(LAG, seen.changes(before))
        assert lags[f"{LAG}_sum"] == pytest.approx(47.5, abs=7.5)
        assert labelled(f"{LAG}_bucket", le="15.0") not in lags
        assert lags[labelled(f"{LAG}_bucket", le="60.0")] == 1.0


@shows(events.Renewed)
async def test_a_session_is_renewed(tmp_path: Path) -> None:
    async with observed(tmp_path, simulator_in_loop()) as seen:
        key, before = seen.open(), seen.counted()
        await seen.hold(key, progress=10)
        await seen.until("first_renewal")
        assert under(SLACK, seen.changes(before)) == {}
        await seen.until("renewed", timeout=LIFETIME)
        await seen.until_streamed("renewed", count=2)
        assert seen.logged("first_renewal") == [
            {
                "level": "info",
                "event": "first_renewal",
                **of(key),
                "slack": None,
                "progress": 10,
                "failures": 0,
            }
        ]
        assert seen.logged("renewed") == [
            {
                "level": "debug",
                "event": "renewed",
                **of(key),
                "slack": about(195),
                "progress": None,
                "failures": 0,
            }
        ]
        line = {"event": "renewed", **told_of(key)}
        assert seen.streamed("renewed") == [
            {**line, "first": True, "progress": 10},
            {**line, "first": False, "slack": about(195)},
        ]
        slacks = under(SLACK, seen.changes(before))
        assert slacks[f"{SLACK}_sum"] == about(195)
        assert slacks[labelled(f"{SLACK}_bucket", le="240.0")] == 1.0
        assert labelled(f"{SLACK}_bucket", le="180.0") not in slacks


@shows(events.RenewalFailed, events.Renewed)
async def test_a_renewal_fails_until_the_session_is_overdue_and_succeeds_then(
    tmp_path: Path,
) -> None:
    simulator = simulator_in_loop()
    async with observed(tmp_path, simulator) as seen:
        key, before = seen.open(), seen.counted()
        await seen.hold(key)
        await seen.until("first_renewal")
        simulator.faults.add(Fail(500), route="*.keep_alive")
        at_server = simulator.library.sessions.get(key.kind, key.id)
        for _ in range(16):
            simulator.library.sessions.touch(at_server)  # the uploader's own keep-alives
            await asyncio.sleep(20)
        first, second, *others = failures = seen.logged("renewal_failed")
        trouble = {"outcome": "failed", "detail": SERVER_ERROR}
        failed = {"event": "renewal_failed", **of(key), **trouble}
        assert first == {
            "level": "warning",
            **failed,
            "failures": 1,
            "retry_in": about(1.0, 0.5),
            "slack": about(195),
        }
        assert second == {
            "level": "debug",
            **failed,
            "failures": 2,
            "retry_in": about(2.0, 0.5),
            "slack": about(194),
        }
        assert [each["failures"] for each in others] == list(range(3, len(failures) + 1))
        assert {each["level"] for each in others} == {"debug"}
        (risk,) = seen.logged("session_at_risk")
        assert risk == {
            "level": "warning",
            "event": "session_at_risk",
            **of(key),
            "slack": about(112, 8),
            "lifetime": about(LIFETIME),
            "failures": risk["failures"],
        }
        before_risk, at_risk = (failures[risk["failures"] - which] for which in (2, 1))
        assert before_risk["slack"] >= 0.4 * LIFETIME > at_risk["slack"] == risk["slack"]
        (overdue,) = seen.logged("session_overdue")
        assert overdue == {**risk, "event": "session_overdue", **overdue_values(failures)}
        streamed = seen.streamed("renewal_failed")
        assert streamed[0] == {
            "event": "renewal_failed",
            **told_of(key),
            **trouble,
            "retry_in": about(1.0, 0.5),
            "slack": about(195),
        }
        assert len(streamed) == len(failures)
        assert under(SLACK, seen.changes(before)) == {}

        simulator.faults.clear()
        await seen.until("renewal_recovered")
        (recovered,) = seen.logged("renewal_recovered")
        assert recovered == {
            "level": "info",
            "event": "renewal_recovered",
            **of(key),
            "slack": about(-20, 20),
            "progress": None,
            "failures": len(seen.logged("renewal_failed")),
        }
        slacks = under(SLACK, seen.changes(before))
        assert slacks[labelled(f"{SLACK}_bucket", le="0.0")] == 1.0
        assert f"{SLACK}_sum" not in slacks
        # The next round is one of its own: it warns anew, and ends anew.
        simulator.faults.add(Fail(500), route="*.keep_alive", count=1)
        await seen.until("renewal_recovered", count=2, timeout=LIFETIME)
        assert seen.logged("renewal_failed")[-1]["level"] == "warning"
        assert seen.logged("renewal_recovered")[-1]["failures"] == 1


def overdue_values(failures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is said of the first failure after the deadline."""
    number, line = next((n, each) for n, each in enumerate(failures, 1) if each["slack"] < 0)
    assert failures[number - 2]["slack"] >= 0
    return {"slack": line["slack"], "failures": number}


@shows(events.LifetimeLearned)
async def test_a_lifetime_is_learned(tmp_path: Path) -> None:
    simulator = simulator_in_loop(session_timeout=200)
    async with observed(tmp_path, simulator) as seen:
        key = seen.open()
        await seen.hold(key)
        await seen.until("lifetime_learned")
        await seen.until_streamed("lifetime_learned")
        assert seen.logged("lifetime_learned") == [
            {
                "level": "info",
                "event": "lifetime_learned",
                **of(key),
                "before": LIFETIME,
                "lifetime": about(199),
            }
        ]
        assert seen.streamed("lifetime_learned") == [
            {"event": "lifetime_learned", **told_of(key), "lifetime": about(199)}
        ]
        # From now on it decides when the session is at risk: at 0.4 of it.
        simulator.faults.add(Fail(500), route="*.keep_alive")
        await seen.until("session_at_risk", timeout=LIFETIME)
        (risk,) = seen.logged("session_at_risk")
        assert risk["lifetime"] == about(199)
        assert risk["slack"] < 80


@shows(events.RenewalWithoutEffect)
async def test_keep_alives_have_no_effect(tmp_path: Path) -> None:
    simulator = simulator_in_loop()

    async def handle(request: Request) -> Response:
        """Answer keep-alives in the vCenter's place."""
        if "keep-alive" in request.target:
            return Response(204)
        return await simulator.handle(request)

    async with observed(tmp_path, simulator, handle=handle) as seen:
        key = seen.open()
        await seen.hold(key)
        await seen.until("renewal_without_effect", timeout=LIFETIME)
        await seen.until_streamed("renewal_without_effect")
        (line,) = seen.logged("renewal_without_effect")
        assert line.pop("message").startswith("keep-alives succeed, but")
        left = line.pop("left")
        assert 0 < left < LIFETIME
        assert line == {"level": "warning", "event": "renewal_without_effect", **of(key)}
        assert seen.streamed("renewal_without_effect") == [
            {"event": "renewal_without_effect", **told_of(key), "left": about(left)}
        ]


# -- transfers


@shows(events.FileFailed)
async def test_a_file_fails(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    async with observed(tmp_path, simulator) as seen:
        key = seen.open()
        await seen.hold(key)
        upload = await uploading(simulator, key)
        upload.interrupt("no space left")
        await seen.until("file_failed", timeout=LIFETIME)
        await seen.until_streamed("file_failed")
        assert seen.logged("file_failed") == [
            {
                "level": "warning",
                "event": "file_failed",
                **of(key),
                "file": "disk.vmdk",
                "source_type": "PUSH",
                "bytes_transferred": 20 * len(CHUNK),
                "size": None,
                "error_message": "no space left",
            }
        ]
        assert seen.streamed("file_failed") == [
            {
                "event": "file_failed",
                **told_of(key),
                "file": "disk.vmdk",
                "error_message": "no space left",
            }
        ]


@shows(events.SessionStalled, events.SessionMoving)
async def test_a_transfer_stalls_and_moves_again(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    async with observed(tmp_path, simulator, stall_timeout="40m") as seen:
        key = seen.open()
        await seen.hold(key)
        upload = await uploading(simulator, key)
        await seen.until("session_stalled", timeout=1200)
        await seen.until_streamed("session_stalled")
        idle = about(675, 76)  # the first look a quarter of 40 minutes after the last movement
        assert seen.logged("session_stalled") == [
            {"level": "warning", "event": "session_stalled", **of(key), "idle": idle}
        ]
        assert seen.streamed("session_stalled") == [
            {"event": "session_stalled", **told_of(key), "idle": idle}
        ]
        assert seen.logged("session_moving") == []
        upload.write(CHUNK)
        await seen.until("session_moving", timeout=LIFETIME)
        await seen.until_streamed("session_moving")
        assert seen.logged("session_moving") == [
            {"level": "info", "event": "session_moving", **of(key)}
        ]
        assert seen.streamed("session_moving") == [{"event": "session_moving", **told_of(key)}]


# -- tokens and ends


@shows(events.TokenRefused)
@pytest.mark.parametrize("fallback", [True, False])
async def test_a_lent_token_is_refused(tmp_path: Path, fallback: bool) -> None:
    simulator = simulator_in_loop()
    vcenter = {} if fallback else {"username": None, "password": None}
    async with observed(tmp_path, simulator, vcenters={NAME: vcenter}) as seen:
        key = seen.open()
        token = simulator.logins.log_in(simulator.username, simulator.password)
        await seen.hold(key, token=token)
        await seen.until("first_renewal")
        simulator.logins.log_out(token)
        await seen.until("token_refused", timeout=LIFETIME)
        await seen.until_streamed("token_refused")
        also = " (until then other credentials renew the session)" if fallback else ""
        assert seen.logged("token_refused") == [
            {
                "level": "warning",
                "event": "token_refused",
                **of(key),
                "owner": "none",
                "fallback": fallback,
                "message": TOKEN_WARNING + also,
            }
        ]
        assert seen.streamed("token_refused") == [
            {"event": "token_refused", **told_of(key), "owner": "none", "fallback": fallback}
        ]


class End(NamedTuple):
    """How a session is brought to an end, and what is said of it."""

    bring_about: Callable[[Observed, SessionKey], Awaitable[None]]
    level: str
    reason: str
    error_message: str | None = None
    content_moved: bool | None = False
    item: str | None = "image.ova"
    keep_alives: int = 1


async def complete(seen: Observed, key: SessionKey) -> None:
    library = seen.simulator.library
    file = library.transfers.add(key.id, "disk.vmdk", SourceType.PUSH)
    upload = library.transfers.begin_upload(file.ticket or "")
    upload.write(CHUNK)
    upload.finish()
    library.sessions.complete(key.kind, key.id)


async def fail(seen: Observed, key: SessionKey) -> None:
    seen.simulator.library.sessions.fail(key.kind, key.id, "the disk is full")


async def cancel(seen: Observed, key: SessionKey) -> None:
    seen.simulator.library.sessions.cancel(key.kind, key.id)


async def remove(seen: Observed, key: SessionKey) -> None:
    await cancel(seen, key)
    seen.simulator.library.sessions.delete(key.kind, key.id)


async def cut_off(seen: Observed, key: SessionKey) -> None:
    seen.simulator.faults.add(Refuse(), seconds=1.5 * LIFETIME)


async def release(seen: Observed, key: SessionKey) -> None:
    await seen.release(key)


async def never_was(seen: Observed, key: SessionKey) -> None:
    """Nothing needs to be done: see the test."""


ENDINGS = {
    State.DONE: End(complete, "info", "completed", content_moved=True),
    State.ERROR: End(fail, "error", "the server reports an error", "the disk is full"),
    State.CANCELED: End(cancel, "warning", "canceled on the server"),
    State.REMOVED: End(remove, "warning", "another client deleted it before its lifetime was over"),
    State.EXPIRED: End(cut_off, "error", "missing after its lifetime passed without a renewal"),
    State.NOT_FOUND: End(
        never_was,
        "error",
        "the server does not know this session",
        content_moved=None,
        item=None,
        keep_alives=0,
    ),
    State.RELEASED: End(release, "info", "its last hold was released", content_moved=None),
}


def test_each_final_state_is_brought_about() -> None:
    assert ENDINGS.keys() == {state for state in State if state.is_final}


@shows(events.SessionEnd)
@pytest.mark.parametrize("state", ENDINGS)
async def test_a_session_ends(tmp_path: Path, state: State) -> None:
    end = ENDINGS[state]
    async with observed(tmp_path, simulator_in_loop()) as seen:
        key, before = seen.open(), seen.counted()
        if state is State.NOT_FOUND:
            await remove(seen, key)
        await seen.hold(key, progress=10)
        if end.keep_alives:
            await seen.until("first_renewal")
        await end.bring_about(seen, key)
        await seen.until("session_ended", timeout=4 * LIFETIME)
        await seen.until_streamed("session_ended")
        (logged,) = seen.logged("session_ended")
        progress = 10 if end.keep_alives else None
        library_item = f"library/{end.item}" if end.item else None
        assert logged == {
            "level": end.level,
            "event": "session_ended",
            **of(key),
            "state": state.value,
            "reason": end.reason,
            "error_message": end.error_message,
            "held_seconds": logged["held_seconds"],
            "keep_alives": end.keep_alives,
            "progress": progress,
            "library_item": library_item,
            "content_moved": end.content_moved,
        }
        lasted = {State.NOT_FOUND: 0, State.RELEASED: 0, State.EXPIRED: 1.6 * LIFETIME}
        held = lasted.get(state, 0.35 * LIFETIME)
        assert logged["held_seconds"] == about(held, 0.15 * LIFETIME)
        told = {
            "state": state.value,
            "reason": end.reason,
            "error_message": end.error_message,
            "progress": progress,
            "library": "library" if end.item else None,
            "item": end.item,
            "content_moved": end.content_moved,
        }
        assert seen.streamed("session_ended") == [
            {
                "event": "session_ended",
                **told_of(key),
                **{name: value for name, value in told.items() if value is not None},
            }
        ]
        assert under(ENDS, seen.changes(before)) == {
            labelled(ENDS, vcenter="lab", state=state.value): 1.0
        }


# -- the vCenter


@shows(events.VCenterDown, events.VCenterUp)
async def test_a_vcenter_goes_down_and_comes_up(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    async with observed(tmp_path, simulator) as seen:
        key = seen.open()
        await seen.hold(key)
        await seen.until("first_renewal")
        simulator.faults.add(Refuse(), seconds=150)
        await seen.until("vcenter_down", timeout=LIFETIME)
        await seen.until_streamed("vcenter_down")
        trouble = {"outcome": "unreachable", "detail": "the connection was refused"}
        down = {"event": "vcenter_down", "vcenter": "lab", **trouble}
        assert seen.logged("vcenter_down") == [{"level": "warning", **down}]
        assert seen.streamed("vcenter_down") == [down]
        assert seen.logged("vcenter_up") == []
        await seen.until("vcenter_up", timeout=LIFETIME)
        await seen.until_streamed("vcenter_up")
        up = {"event": "vcenter_up", "vcenter": "lab", "down_seconds": about(50, 20)}
        assert seen.logged("vcenter_up") == [{"level": "info", **up}]
        assert seen.streamed("vcenter_up") == [up]


@shows(events.SessionAtRisk)
async def test_a_session_is_at_risk_while_its_vcenter_is_down(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    async with observed(tmp_path, simulator) as seen:
        key = seen.open()
        await seen.hold(key)
        await seen.until("first_renewal")
        simulator.faults.add(Refuse(), seconds=400)
        await seen.until("vcenter_down", timeout=LIFETIME)
        failures, before = len(seen.logged("renewal_failed")), seen.counted()
        await seen.until("session_overdue", timeout=LIFETIME)
        (risk,), (overdue,) = seen.logged("session_at_risk"), seen.logged("session_overdue")
        line = {"level": "warning", **of(key), "lifetime": about(LIFETIME), "failures": failures}
        assert risk == {"event": "session_at_risk", "slack": about(0.4 * LIFETIME), **line}
        assert overdue == {"event": "session_overdue", "slack": about(0), **line}
        # Nothing was sent meanwhile, and the stream tells of the vCenter alone.
        assert len(seen.logged("renewal_failed")) == failures
        assert seen.changes(before) == {}
        assert not {"session_at_risk", "session_overdue"} & {each["event"] for each in seen.stream}


@shows(events.VCenterAdded, events.VCenterRemoved)
async def test_a_vcenter_is_added_and_removed(tmp_path: Path) -> None:
    async with observed(tmp_path, simulator_in_loop(), vcenters={"lab": {}, "prod": {}}) as seen:
        key = seen.open()
        await seen.hold(key)
        await seen.until("first_renewal")
        of_prod = {name for name in seen.counted() if '"prod"' in name}
        assert of_prod == {
            *(labelled(KEEP_ALIVES, vcenter="prod", outcome=each) for each in Outcome),
            *(labelled(ENDS, vcenter="prod", state=each) for each in FINAL_STATES),
            *(labelled(LOGINS, vcenter="prod", outcome=each) for each in LOGIN_OUTCOMES),
        }
        assert {seen.counted()[name] for name in of_prod} == {0.0}
        await seen.reload(vcenters={"prod": {}})
        assert not any('"lab"' in name for name in seen.counted())
        assert {name for name in seen.counted() if '"prod"' in name} == of_prod
        await seen.reload(vcenters={"lab": {}})
        assert seen.counted()[labelled(KEEP_ALIVES, vcenter="lab", outcome="ok")] == 0.0
        assert not any('"prod"' in name for name in seen.counted())
        # What was logged of the former is forgotten: its first login is news again.
        await seen.hold(key)
        await seen.until("logged_in", count=2)
        assert [line["level"] for line in seen.logged("logged_in")] == ["info", "info"]
        streamed = {line["event"] for line in seen.stream}
        assert not any("vcenter" in name for name in streamed)


@shows(events.LoginTried)
@pytest.mark.parametrize(
    ("outcome", "event", "level"),
    [
        ("ok", "logged_in", "info"),
        ("refused", "login_refused", "error"),
        ("failed", "login_failed", "warning"),
    ],
)
async def test_a_login_is_tried(tmp_path: Path, outcome: str, event: str, level: str) -> None:
    simulator = simulator_in_loop()
    password = "a wrong one" if outcome == "refused" else simulator.password
    async with observed(
        tmp_path, simulator, vcenters={NAME: {"password": Secret(password)}}
    ) as seen:
        key, before = seen.open(), seen.counted()
        if outcome == "failed":
            simulator.faults.add(Fail(503), method="POST", route="*session.create*")
        await seen.hold(key)
        await seen.until(event)
        await seen.until_streamed("login")
        assert seen.logged(event)[0] == {"level": level, "event": event, "vcenter": "lab"}
        assert seen.streamed("login")[0] == {"event": "login", "vcenter": "lab", "outcome": outcome}
        if outcome == "ok":
            simulator.restart(lose_tokens=True)
        await seen.until(event, count=2, timeout=LIFETIME)
        tried = seen.logged(event)
        # What repeats is said once.
        assert tried[1] == {**tried[0], "level": "debug"}
        await seen.until_streamed("login", count=len(tried))
        assert under(LOGINS, seen.changes(before)) == {
            labelled(LOGINS, vcenter="lab", outcome=outcome): float(len(tried))
        }


# -- sources


@shows(events.SourceFailed, events.SourceRecovered)
async def test_a_source_fails_and_recovers(tmp_path: Path) -> None:
    folder = tmp_path / "sessions.d"
    folder.mkdir()
    source = folder / "nightly.yaml"
    async with observed(tmp_path, simulator_in_loop(), session_files=[f"{folder}/*.yaml"]) as seen:
        before = seen.counted()
        source.write_text("sessions:\n" + "- {}\n" * 25)
        await seen.until("source_failed")
        await seen.until_streamed("source_failed")
        problems = [
            f"{source}:{number + 2}: sessions[{number}].id: is missing" for number in range(25)
        ]
        assert seen.logged("source_failed") == [
            {
                "level": "error",
                "event": "source_failed",
                "source": str(source),
                "problems": problems[:20],
                "problem_count": 25,
            }
        ]
        assert seen.streamed("source_failed") == [
            {"event": "source_failed", "source": str(source), "count": 25}
        ]
        errors, broken = (
            labelled(metric, source=str(source)) for metric in (SOURCE_ERRORS, BROKEN)
        )
        assert seen.changes(before) == {errors: 1.0, broken: 1.0}
        broken_sources = seen.daemon._metrics.broken_sources
        assert broken_sources == (str(source),)

        source.write_text("sessions: []\n")
        await seen.until("source_recovered")
        await seen.until_streamed("source_recovered")
        well = {"event": "source_recovered", "source": str(source)}
        assert seen.logged("source_recovered") == [{"level": "info", **well}]
        assert seen.streamed("source_recovered") == [well]
        assert seen.changes(before) == {errors: 1.0}
        assert seen.counted()[broken] == 0.0
        broken_sources = seen.daemon._metrics.broken_sources
        assert broken_sources == ()
