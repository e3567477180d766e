"""Who holds what: kept in step with the registry, for what each user may see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keepalived.control.holders import Holders, Party, Usage, call_soon, size_of
from keepalived.lease import session as core
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session
from tests.support.examples import examples

ALICE, BOB = 1000, 1001
KEY = SessionKey("lab", Kind.UPDATE, "session-1")
NO_OWNER = Owner(OwnerKind.NONE)


@dataclass
class Sessions:
    """The least that a registry can be, and the same in the order of what it tells."""

    known: dict[SessionKey, Session] = field(default_factory=dict)
    now: float = 0.0
    told: list[tuple[str, SessionKey, Party]] = field(default_factory=list)
    soon: Callable[[Callable[[], None]], object] = call_soon

    def __post_init__(self) -> None:
        self.holders = Holders(
            self,
            lambda key, party: self.told.append(("taken", key, party)),
            lambda key, party, goes_on: self.told.append(
                ("released" if goes_on else "ended", key, party)
            ),
            self.soon,
        )

    def find(self, key: SessionKey) -> Session | None:
        return self.known.get(key)

    def __iter__(self) -> Iterator[Session]:
        return iter(self.known.values())

    def __len__(self) -> int:
        return len(self.known)

    def hold(
        self, uid: int, key: SessionKey = KEY, owner: Owner = NO_OWNER, note: str = ""
    ) -> None:
        self.now += 1
        session, hold = self.known.get(key), Hold(uid, owner, self.now, None, note=note)
        if session is None or session.state.is_final:
            self.known[key] = core.begin(key, 300.0, hold, self.now)
        else:
            self.known[key] = core.take_hold(session, hold)
        self.holders.note_change(key)

    def release(self, uid: int, key: SessionKey = KEY, owner: Owner = NO_OWNER) -> None:
        session = self.known.get(key)
        if session is None or not any(hold.is_by(uid, owner) for hold in session.holds):
            return
        self.holders.note_change(key)
        self.known[key], effects = core.release_hold(session, uid, owner)
        if effects:
            self.holders.note_change(key)

    def forget(self, key: SessionKey = KEY) -> None:
        session = self.known.get(key)
        if session is not None and session.state.is_final:
            del self.known[key]


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


async def test_each_user_sees_what_they_hold(sessions: Sessions) -> None:
    sessions.hold(ALICE)
    sessions.holders.catch_up()

    assert sessions.holders.sees(ALICE, KEY)
    assert not sessions.holders.sees(BOB, KEY)
    assert [session.key for session in sessions.holders.sessions_of(ALICE)] == [KEY]
    assert sessions.holders.sessions_of(BOB) == []
    assert sessions.told == [("taken", KEY, Party(ALICE, NO_OWNER))]


async def test_the_loop_catches_up_by_itself(sessions: Sessions) -> None:
    sessions.hold(ALICE)
    assert not sessions.holders.sees(ALICE, KEY)
    await asyncio.sleep(0)
    assert sessions.holders.sees(ALICE, KEY)


@pytest.mark.parametrize(
    ("deeds", "told"),
    [
        ("hold A, hold B, release A", ("released", KEY, Party(ALICE, NO_OWNER))),
        # An ended session belongs to its last holders, and a new life to its own.
        ("hold A, hold B, release A, release B", ("ended", KEY, Party(BOB, NO_OWNER))),
        ("hold A, release A, hold B", ("taken", KEY, Party(BOB, NO_OWNER))),
    ],
)
async def test_who_lets_go_is_out_while_others_hold_on(
    sessions: Sessions, deeds: str, told: tuple[str, SessionKey, Party]
) -> None:
    for deed in deeds.split(", "):  # in the same breath
        what, who = deed.split()
        getattr(sessions, what)(ALICE if who == "A" else BOB)
    sessions.holders.catch_up()

    assert not sessions.holders.sees(ALICE, KEY)
    assert sessions.holders.sees(BOB, KEY)
    assert sessions.told[-1] == told


async def test_what_is_forgotten_is_nobody_s(sessions: Sessions) -> None:
    sessions.hold(ALICE)
    sessions.release(ALICE)
    sessions.holders.catch_up()
    assert sessions.holders.count(ALICE, enough=1) == 1

    sessions.forget()

    assert sessions.holders.sessions_of(ALICE) == []
    assert sessions.holders.count(ALICE, enough=1) == 0
    assert not sessions.holders.sees(ALICE, KEY)


async def test_what_is_forgotten_does_not_pile_up(sessions: Sessions) -> None:
    for number in range(5000):
        key = KEY._replace(id=f"session-{number}")
        sessions.hold(ALICE, key)
        sessions.release(ALICE, key)
        sessions.holders.catch_up()
        sessions.forget(key)

    assert sessions.holders.count(ALICE, enough=10_000) < 2000


async def test_what_was_held_before_the_start_is_known_without_a_word(sessions: Sessions) -> None:
    sessions.known[KEY] = core.begin(KEY, 300.0, Hold(ALICE, NO_OWNER, 0.0, None), 0.0)

    sessions.holders.read_all()

    assert sessions.holders.sees(ALICE, KEY)
    assert sessions.told == []


class InStep(RuleBasedStateMachine):
    """Whatever happens in whatever order, each user sees exactly what is theirs."""

    users = st.sampled_from([ALICE, BOB])
    keys = st.sampled_from([KEY, KEY._replace(id="session-2")])
    owners = st.sampled_from(
        [NO_OWNER, Owner(OwnerKind.PROCESS, "1:2:3"), Owner(OwnerKind.FILE, "/a.yaml")]
    )

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions(soon=lambda _work: None)  # there is no loop; see catch_up
        self.last: dict[SessionKey, set[int]] = {}

    @rule(uid=users, key=keys, owner=owners, note=st.sampled_from(["", "grün"]))
    def hold(self, uid: int, key: SessionKey, owner: Owner, note: str) -> None:
        self.sessions.hold(uid, key, owner, note)
        self._remember(key)

    @rule(uid=users, key=keys, owner=owners)
    def release(self, uid: int, key: SessionKey, owner: Owner) -> None:
        self.sessions.release(uid, key, owner)
        self._remember(key)

    @rule(key=keys)
    def forget(self, key: SessionKey) -> None:
        self.sessions.forget(key)
        self._remember(key)

    @rule()
    def catch_up(self) -> None:
        self.sessions.holders.catch_up()

    def _remember(self, key: SessionKey) -> None:
        session = self.sessions.find(key)
        if session is None:
            self.last.pop(key, None)
        elif not session.state.is_final:
            self.last[key] = {hold.uid for hold in session.holds}

    @invariant()
    def each_sees_exactly_their_own(self) -> None:
        self.sessions.holders.catch_up()
        for uid in (ALICE, BOB):
            seen = {session.key for session in self.sessions.holders.sessions_of(uid)}
            assert seen == {key for key, uids in self.last.items() if uid in uids}

    @invariant()
    def what_is_used_is_counted(self) -> None:
        holds = [hold for session in self.sessions for hold in session.holds]
        for uid in (ALICE, BOB, None):
            meant = [hold for hold in holds if uid in (None, hold.uid)]
            asked_for = [hold for hold in meant if hold.owner.kind is not OwnerKind.FILE]
            used = Usage(len(asked_for), sum(map(size_of, asked_for)))
            assert self.sessions.holders.usage(uid) == used

    @invariant()
    def whoever_came_and_did_not_go_holds(self) -> None:
        there: set[tuple[SessionKey, Party]] = set()
        for what, key, party in self.sessions.told:
            if what == "taken":
                assert (key, party) not in there
                there.add((key, party))
            else:
                there.remove((key, party))
        assert there == {
            (session.key, Party(hold.uid, hold.owner))
            for session in self.sessions
            for hold in session.holds
        }


TestInStep = InStep.TestCase
TestInStep.settings = settings(max_examples=examples(60), stateful_step_count=25)
