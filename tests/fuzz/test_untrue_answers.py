"""Arbitrary answers to a running keeper: nothing is raised, and sessions end only by the rules."""

from __future__ import annotations

import asyncio
import json

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.model import State
from keepalived.simulator.wire import Request, Response
from tests.fuzz.damage import EXAMPLES, fuzzed
from tests.fuzz.test_answers import bodies, headers, responses, statuses
from tests.support.engine import running_engine, simulator_in_loop

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

ERRORS = ["NOT_FOUND", "NOT_ALLOWED_IN_CURRENT_STATE", "INVALID_ARGUMENT"]
refusals = st.sampled_from(ERRORS).map(
    lambda each: json.dumps({"error_type": each, "messages": []}).encode()
)
lies = st.lists(
    responses | st.builds(Response, statuses, headers, bodies | refusals), min_size=1, max_size=6
)
places = st.sampled_from(["keep-alive", "update-session", "library/item", "/session", "/"])


def says_it_ended(answers: list[Response]) -> bool:
    """Whether an answer proves that a session has ended or is unknown."""
    words = (b"DONE", b"ERROR", b"CANCELED", b"NOT_FOUND")
    return any(
        answer.status == 404 or any(word in answer.body for word in words) for answer in answers
    )


@given(lies, places, st.booleans(), st.integers(0, 20))
@fuzzed
def test_no_answer_ends_a_session_but_by_the_rules(
    answers: list[Response], place: str, is_lent: bool, truth: int
) -> None:
    async def play() -> State:
        simulator = simulator_in_loop()
        turns = iter(range(1_000_000))

        async def handle(request: Request) -> Response:
            turn = next(turns)
            if turn > truth and place in request.target and turn < 400:
                return answers[turn % len(answers)]
            return await simulator.handle(request)

        async with running_engine(
            simulator, handle=handle, policy=RenewalPolicy(has_credentials=True)
        ) as engine:
            key = engine.open()
            if is_lent:
                hold = Hold(7, Owner(OwnerKind.NONE), 0.0, None, token=LentToken("b0rr0wed"))
                engine.registry.hold(key, hold)
            await asyncio.sleep(900)
            assert not engine.work.done(), "the keeper has ended"
            return engine.state(key)

    loop = looptime.new_event_loop(start=0)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        state = runner.run(play())
    if not says_it_ended(answers):
        # A session lost for lack of answers is lost at its deadline, not before.
        assert state in (State.PENDING, State.ACTIVE, State.EXPIRED, State.NOT_FOUND)
