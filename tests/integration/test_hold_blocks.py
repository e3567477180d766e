"""`with keepalived.hold(...)`: what happens within the block, at its end, and beside it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import keepalived
from keepalived import State
from keepalived.lease.model import Kind
from keepalived.simulator.faults import Fail
from tests.support.held import Lab, lab, left_behind, within
from tests.support.timeouts import TIMEOUT_SECONDS

LIFETIME, SHORT = 120.0, 2.0
"""The actual lifetime of sessions, and the configured one with which a hold renews every second."""


@pytest.fixture
def vcenter() -> Iterator[Lab]:
    with lab(session_timeout=LIFETIME, put_counts_as_activity=False) as served:
        yield served


def hold(
    vcenter: Lab, session_id: str, lifetime: float = LIFETIME, **how: Any
) -> keepalived.SessionHold:
    access = how or vcenter.credentials()
    return keepalived.hold(vcenter.url, session_id, session_timeout=lifetime, **access)


def test_a_session_is_renewed_and_nothing_is_left_behind(vcenter: Lab) -> None:
    session_id, before = vcenter.open(), left_behind()

    with hold(vcenter, session_id, SHORT) as held:
        assert held.state is State.ACTIVE
        for percent in range(20, 100, 20):
            held.progress(percent)
            within(lambda: percent in vcenter.told(session_id))  # noqa: B023 - called at once

    assert str(held.state) == "RELEASED"
    within(lambda: left_behind() == before)
    assert vcenter.events(session_id) == ["created"]
    told = vcenter.told(session_id)
    assert told == sorted(told)
    assert set(told) == {20, 40, 60, 80}
    assert vcenter.logged_in() == 0
    assert not vcenter.sent("*.cancel")


def test_without_it_the_session_is_gone() -> None:
    with lab(session_timeout=0.5) as vcenter:
        session_id = vcenter.open()
        within(lambda: vcenter.events(session_id) == ["created", "expired"])


def test_what_is_told_in_bytes_reaches_the_server(vcenter: Lab) -> None:
    session_id = vcenter.open()
    with hold(vcenter, session_id) as held:
        for done in range(0, 3_000_000, 1000):  # as a transfer's callback would
            held.progress(done, 4_000_000)
    assert vcenter.told(session_id)[-1] == 74
    held.progress(90)  # too late, and harmless


# -- a loss


def test_a_session_lost_in_mid_upload_is_told_at_the_end_of_the_block(vcenter: Lab) -> None:
    session_id, heard = vcenter.open(), threading.Event()
    seen: list[tuple[State, str]] = []
    held = hold(vcenter, session_id, SHORT)

    def upload() -> None:
        with held:
            held.on_end(lambda end: seen.append((end.state, threading.current_thread().name)))
            held.on_end(lambda _end: heard.set())
            fail = vcenter.simulator.library.sessions.fail
            vcenter.do(fail, Kind.UPDATE, session_id, "disk full")
            assert heard.wait(TIMEOUT_SECONDS)
            assert held.state is State.ERROR

    with pytest.raises(keepalived.SessionLost) as lost:
        upload()
    assert seen == [(State.ERROR, f"keepalived {session_id}")]
    assert (lost.value.state, lost.value.session_id) == (State.ERROR, session_id)
    assert lost.value.error_message == "disk full"
    assert held.end == lost.value.end
    assert vcenter.logged_in() == 0


@pytest.mark.extended
def test_an_expired_session_is_lost() -> None:
    def upload(vcenter: Lab) -> None:
        session_id, faults = vcenter.open(), vcenter.simulator.faults
        with hold(vcenter, session_id, SHORT):
            fault = vcenter.do(lambda: faults.add(Fail(500), route="update_session.*"))
            within(lambda: "expired" in vcenter.events(session_id))
            vcenter.do(faults.remove, fault)

    with lab(session_timeout=5 * SHORT) as vcenter, pytest.raises(keepalived.SessionLost) as lost:
        upload(vcenter)
    assert lost.value.state is State.EXPIRED


def test_an_error_of_the_uploads_own_is_not_masked_and_gets_a_note(vcenter: Lab) -> None:
    session_id = vcenter.open()
    mine = OSError("the uploader's own")

    def upload() -> None:
        with hold(vcenter, session_id):
            vcenter.cancel(session_id)
            raise mine

    with pytest.raises(OSError, match="the uploader's own") as failed:
        upload()
    assert failed.value is mine
    assert failed.value.__context__ is None
    assert failed.value.__notes__ == [
        f"keepalived: update session {session_id} ended as CANCELED (canceled on the server)"
    ]


def test_an_error_while_the_session_is_well_gets_no_note(vcenter: Lab) -> None:
    with pytest.raises(KeyError) as failed, hold(vcenter, vcenter.open()):
        raise KeyError("mine")
    assert not hasattr(failed.value, "__notes__")


def test_an_upload_that_arrived_is_no_loss(vcenter: Lab) -> None:
    session_id = vcenter.open()
    with hold(vcenter, session_id) as held:
        vcenter.do(vcenter.simulator.library.sessions.complete, Kind.UPDATE, session_id)
        vcenter.do(vcenter.simulator.library.sessions.delete, Kind.UPDATE, session_id)
    assert held.end is not None
    assert (held.end.state, held.end.content_moved) == (State.DONE, True)


# -- entering


@pytest.mark.parametrize(
    ("access", "error"),
    [
        ({"username": "someone", "password": "wrong"}, keepalived.AccessRefused),
        ({"token": "unknown"}, keepalived.AccessRefused),
    ],
    ids=["credentials", "token"],
)
def test_who_is_refused_never_enters_and_leaves_nothing(
    vcenter: Lab, access: dict[str, Any], error: type[Exception]
) -> None:
    session_id, before = vcenter.open(), left_behind()
    with pytest.raises(error), hold(vcenter, session_id, **access):
        pytest.fail("the block was entered")
    within(lambda: left_behind() == before)


def test_a_session_that_is_none_is_never_entered(vcenter: Lab) -> None:
    before = left_behind()
    with pytest.raises(keepalived.SessionLost, match="NOT_FOUND"), hold(vcenter, "nothing"):
        pytest.fail("the block was entered")
    within(lambda: left_behind() == before)
    assert vcenter.logged_in() == 0


def test_a_hold_is_entered_once(vcenter: Lab) -> None:
    held = hold(vcenter, vcenter.open())
    with held:
        pass
    with pytest.raises(keepalived.HoldError, match="entered only once"), held:
        pytest.fail("the block was entered")


def test_what_is_risky_is_warned_of(vcenter: Lab, caplog: pytest.LogCaptureFixture) -> None:
    # Nothing of TLS takes place here: that it is warned of is what matters.
    with keepalived.hold(vcenter.url, vcenter.open(), insecure=True, **vcenter.credentials()):
        pass
    assert caplog.messages == [
        f"{vcenter.url}: any server that answers gets the password; use `fingerprints` instead"
    ]


# -- several


def test_several_holds_at_once_end_each_by_itself(vcenter: Lab) -> None:
    ids, before = [vcenter.open() for _ in range(5)], left_behind()

    def upload() -> None:
        with hold(vcenter, ids[2], SHORT):
            with hold(vcenter, ids[3], SHORT), hold(vcenter, ids[4], SHORT):
                vcenter.until_renewed(*ids)
            vcenter.cancel(ids[2])

    with hold(vcenter, ids[0], SHORT), hold(vcenter, ids[1], SHORT):
        with pytest.raises(keepalived.SessionLost) as lost:
            upload()
        release = vcenter.renewals(ids[3])
        vcenter.until_renewed(ids[0], ids[1])
        assert vcenter.events(ids[0]) == vcenter.events(ids[1]) == ["created"]
        assert vcenter.renewals(ids[3]) == release  # as its block was left
    assert lost.value.session_id == ids[2]
    within(lambda: left_behind() == before)


def test_two_holds_on_one_session_are_harmless(vcenter: Lab) -> None:
    session_id = vcenter.open()
    with hold(vcenter, session_id, SHORT) as one, hold(vcenter, session_id, SHORT) as other:
        for percent in (10, 20, 30):
            one.progress(percent)
            other.progress(percent + 5)
            within(lambda: {percent, percent + 5} <= set(vcenter.told(session_id)))  # noqa: B023
        assert (one.state, other.state) == (State.ACTIVE, State.ACTIVE)
    assert vcenter.events(session_id) == ["created"]


def test_several_threads_use_one_hold(vcenter: Lab) -> None:
    session_id = vcenter.open()
    with hold(vcenter, session_id) as held:

        def upload(part: int) -> None:
            for done in range(part, 4000, 4):
                held.progress(done, 4000)
                held.on_end(lambda _end: None)
                assert held.state is State.ACTIVE

        workers = [threading.Thread(target=upload, args=(part,)) for part in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    told = vcenter.told(session_id)
    assert told[-1] == 99
    assert told == sorted(told)


def test_threads_hold_sessions_of_their_own(vcenter: Lab) -> None:
    ids, before = [vcenter.open() for _ in range(4)], left_behind()

    def upload(session_id: str) -> None:
        with hold(vcenter, session_id, SHORT):
            vcenter.until_renewed(session_id)

    workers = [threading.Thread(target=upload, args=(each,)) for each in ids]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [vcenter.events(each) for each in ids] == [["created"]] * 4
    within(lambda: left_behind() == before)


def test_a_block_may_be_left_in_another_thread_and_in_a_callback(vcenter: Lab) -> None:
    before = left_behind()
    held = hold(vcenter, vcenter.open()).__enter__()
    leaver = threading.Thread(target=held.__exit__, args=(None, None, None))
    leaver.start()
    leaver.join(TIMEOUT_SECONDS)
    session_id = vcenter.open()
    ended = hold(vcenter, session_id, SHORT).__enter__()
    ended.on_end(lambda _end: ended.__exit__(RuntimeError, RuntimeError(), None))
    vcenter.cancel(session_id)
    within(lambda: left_behind() == before)


def test_a_child_of_a_fork_neither_ends_the_hold_nor_waits_for_it(vcenter: Lab) -> None:
    session_id = vcenter.open()
    with hold(vcenter, session_id, SHORT) as held:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                held.progress(50)
                held.__exit__(None, None, None)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        vcenter.until_renewed(session_id)
        assert held.state is State.ACTIVE
    assert vcenter.events(session_id) == ["created"]
    assert vcenter.told(session_id) == []
    assert vcenter.logged_in() == 0


def test_a_hold_that_is_dropped_is_warned_of_and_ends(vcenter: Lab) -> None:
    before = left_behind()
    with pytest.warns(ResourceWarning, match="was never exited"):
        hold(vcenter, vcenter.open()).__enter__()
    within(lambda: left_behind() == before)
    assert vcenter.logged_in() == 0
