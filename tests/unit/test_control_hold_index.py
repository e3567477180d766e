"""Who holds what: kept in step with the registry by its events, for what each user may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keepalived.control.hold_index import HoldIndex, Usage, size_of
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.bus import EventBus
from tests.support.examples import examples

ALICE, BOB = 1000, 1001
KEY = SessionKey("lab", Kind.UPDATE, "session-1")
NO_OWNER = Owner(OwnerKind.NONE)
RETENTION = 60.0


@dataclass
class HandClock:
    """A clock whose hands are turned by the test."""

    now: float = 0.0

    def boot(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class Indexed:
    """A registry with a keeper that rests, and the index that listens to it."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.bus = EventBus()
        self.registry = Registry(self.bus, self.clock, Retention(RETENTION, RETENTION))
        nowhere: Any = None
        keeper = Keeper("lab", nowhere, RenewalPolicy(), self.registry, self.bus, self.clock)
        self.registry.attach(keeper)
        self.index = HoldIndex(self.registry)
        self.bus.add(self.index)

    def hold(
        self, uid: int, key: SessionKey = KEY, owner: Owner = NO_OWNER, note: str = ""
    ) -> None:
        self.clock.now += 1
        self.registry.hold(key, Hold(uid, owner, self.clock.now, None, note=note))

    def release(self, uid: int, key: SessionKey = KEY, owner: Owner = NO_OWNER) -> None:
        self.registry.release(key, uid, owner)

    def forget_ended(self) -> None:
        self.clock.now += RETENTION + 1
        self.registry.sweep()


@pytest.fixture
def indexed() -> Indexed:
    return Indexed()


def test_each_user_sees_what_they_hold(indexed: Indexed) -> None:
    indexed.hold(ALICE)

    assert indexed.index.sees(ALICE, KEY)
    assert not indexed.index.sees(BOB, KEY)
    assert list(indexed.index.sessions_of(ALICE)) == [KEY]
    assert list(indexed.index.sessions_of(BOB)) == []


def test_a_user_who_releases_is_out_while_others_hold_on(indexed: Indexed) -> None:
    indexed.hold(ALICE)
    indexed.hold(BOB)
    indexed.release(ALICE)

    assert not indexed.index.sees(ALICE, KEY)
    assert indexed.index.sees(BOB, KEY)


def test_a_user_with_two_holds_sees_the_session_until_both_are_released(indexed: Indexed) -> None:
    indexed.hold(ALICE)
    indexed.hold(ALICE, owner=Owner(OwnerKind.TIME_LIMIT, "60"))
    indexed.hold(BOB)
    indexed.release(ALICE)
    assert indexed.index.sees(ALICE, KEY)
    indexed.release(ALICE, owner=Owner(OwnerKind.TIME_LIMIT, "60"))
    assert not indexed.index.sees(ALICE, KEY)


def test_an_ended_session_belongs_to_its_last_holders_until_it_is_forgotten(
    indexed: Indexed,
) -> None:
    indexed.hold(ALICE)
    indexed.hold(BOB)
    indexed.release(ALICE)
    indexed.release(BOB)
    assert not indexed.index.sees(ALICE, KEY)
    assert indexed.index.sees(BOB, KEY)
    assert len(indexed.index.sessions_of(BOB)) == 1

    indexed.forget_ended()
    assert list(indexed.index.sessions_of(BOB)) == []


def test_a_new_life_belongs_to_its_own_holders(indexed: Indexed) -> None:
    indexed.hold(ALICE)
    indexed.release(ALICE)
    indexed.hold(BOB)

    assert not indexed.index.sees(ALICE, KEY)
    assert indexed.index.sees(BOB, KEY)


def test_what_was_held_before_the_start_is_known(indexed: Indexed) -> None:
    indexed.hold(ALICE, note="grün")
    later = HoldIndex(indexed.registry)
    assert later.sees(ALICE, KEY)
    assert later.usage() == indexed.index.usage() == Usage(1, 5)


class InStep(RuleBasedStateMachine):
    """Whatever happens in whatever order, each user sees exactly what is theirs."""

    users = st.sampled_from([ALICE, BOB])
    keys = st.sampled_from([KEY, KEY._replace(id="session-2")])
    owners = st.sampled_from(
        [NO_OWNER, Owner(OwnerKind.PROCESS, "1:2:3"), Owner(OwnerKind.FILE, "/a.yaml")]
    )

    def __init__(self) -> None:
        super().__init__()
        self.indexed = Indexed()
        self.last: dict[SessionKey, set[int]] = {}

    @rule(uid=users, key=keys, owner=owners, note=st.sampled_from(["", "grün"]))
    def hold(self, uid: int, key: SessionKey, owner: Owner, note: str) -> None:
        self.indexed.hold(uid, key, owner, note)
        self._remember()

    @rule(uid=users, key=keys, owner=owners)
    def release(self, uid: int, key: SessionKey, owner: Owner) -> None:
        self.indexed.release(uid, key, owner)
        self._remember()

    @rule()
    def forget_ended(self) -> None:
        self.indexed.forget_ended()
        self._remember()

    def _remember(self) -> None:
        known = {session.key: session for session in self.indexed.registry}
        self.last = {key: uids for key, uids in self.last.items() if key in known}
        for key, session in known.items():
            if not session.state.is_final:
                self.last[key] = {hold.uid for hold in session.holds}

    @invariant()
    def each_sees_exactly_their_own(self) -> None:
        for uid in (ALICE, BOB):
            own = {key for key, uids in self.last.items() if uid in uids}
            assert set(self.indexed.index.sessions_of(uid)) == own

    @invariant()
    def what_is_used_is_counted(self) -> None:
        holds = [hold for session in self.indexed.registry for hold in session.holds]
        for uid in (ALICE, BOB, None):
            meant = [hold for hold in holds if uid in (None, hold.uid)]
            asked_for = [hold for hold in meant if hold.owner.kind is not OwnerKind.FILE]
            used = Usage(len(asked_for), sum(map(size_of, asked_for)))
            assert self.indexed.index.usage(uid) == used


TestInStep = InStep.TestCase
TestInStep.settings = settings(max_examples=examples(50), stateful_step_count=30, deadline=None)
