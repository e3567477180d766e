"""The schedule: when sessions are due, and in which order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from keepalived.keeper.schedule import Schedule
from keepalived.lease.model import Kind, SessionKey


def key(number: int) -> SessionKey:
    return SessionKey("lab", Kind.UPDATE, f"session-{number}")


def popped(schedule: Schedule) -> list[SessionKey]:
    keys = []
    while (taken := schedule.pop()) is not None:
        keys.append(taken[0])
    return keys


def test_nothing_is_ready_before_it_is_due() -> None:
    schedule = Schedule()
    schedule.put(key(1), due=10.0, deadline=20.0)
    assert schedule.advance(9.99) == 0
    assert schedule.pop() is None
    assert schedule.next_due() == 10.0


def test_within_a_millisecond_counts_as_due() -> None:
    schedule = Schedule()
    schedule.put(key(1), due=10.0, deadline=None)
    assert schedule.advance(9.9995) == 1


def test_those_that_fall_due_within_20_ms_are_told_apart() -> None:
    schedule = Schedule()
    for number, due in enumerate((10.019, 10.001, 10.010, 10.030)):
        schedule.put(key(number), due=due, deadline=None)
    assert schedule.next_due() == 10.001
    assert schedule.advance(10.001) == 1
    assert schedule.next_due() == 10.010
    assert schedule.advance(10.012) == 2
    assert schedule.next_due() == 10.019
    schedule.remove(key(0))
    assert schedule.next_due() == 10.030
    assert popped(schedule) == [key(1), key(2)]


def test_among_the_due_the_earliest_deadline_goes_first_and_none_goes_last() -> None:
    schedule = Schedule()
    schedule.put(key(1), due=1.0, deadline=None)
    schedule.put(key(2), due=2.0, deadline=50.0)
    schedule.put(key(3), due=3.0, deadline=40.0)
    schedule.advance(5.0)
    assert popped(schedule) == [key(3), key(2), key(1)]


def test_moving_a_session_leaves_one_entry() -> None:
    schedule = Schedule()
    schedule.put(key(1), due=1.0, deadline=5.0)
    schedule.put(key(1), due=8.0, deadline=9.0)
    schedule.advance(2.0)
    assert schedule.pop() is None
    schedule.advance(8.0)
    assert schedule.pop() == (key(1), 8.0)
    assert schedule.pop() is None


def test_a_ready_session_that_is_moved_waits_again() -> None:
    schedule = Schedule()
    schedule.put(key(1), due=1.0, deadline=5.0)
    schedule.advance(1.0)
    schedule.put(key(1), due=3.0, deadline=5.0)
    assert schedule.pop() is None
    assert schedule.next_due() == 3.0


def test_a_removed_session_never_comes_up() -> None:
    schedule = Schedule()
    schedule.put(key(1), due=1.0, deadline=5.0)
    schedule.advance(1.0)
    schedule.remove(key(1))
    schedule.remove(key(2))
    assert popped(schedule) == []
    assert len(schedule) == 0


@given(st.integers(0, 2**32), st.integers(1, 400))
def test_whatever_is_done_each_session_comes_up_exactly_when_it_was_last_put(
    seed: int, moves: int
) -> None:
    draw = random.Random(seed)
    schedule = Schedule()
    expected: dict[SessionKey, float] = {}
    for _ in range(moves):
        chosen = key(draw.randrange(10))
        if draw.random() < 0.2:
            schedule.remove(chosen)
            expected.pop(chosen, None)
        else:
            due = draw.uniform(0, 100)
            schedule.put(chosen, due, due + draw.uniform(0, 100))
            expected[chosen] = due
        if draw.random() < 0.1:
            now = draw.uniform(0, 50)
            schedule.advance(now)
    seen = {}
    for now in range(101):
        ready = schedule.advance(float(now))
        while (taken := schedule.pop()) is not None:
            assert taken[1] <= now + 0.001 or taken[1] <= 50
            seen[taken[0]] = taken[1]
            ready -= 1
            assert schedule.backlog() == ready
        assert ready == 0
    assert seen == expected


def test_moving_without_end_does_not_grow_the_heap_without_end() -> None:
    schedule = Schedule()
    for move in range(10_000):
        schedule.put(key(move % 10), due=float(move), deadline=None)
    assert sum(map(len, schedule._waiting.values())) <= 64 + 2 * 10 + 1
    assert len(schedule._slots) == len(schedule._waiting)


def test_moving_the_ready_without_taking_any_does_not_grow_the_heap_without_end() -> None:
    schedule = Schedule()
    for move in range(10_000):
        schedule.put(key(move % 10), due=0.0, deadline=None)
        schedule.advance(0.0)
    assert schedule.backlog() == 10
    assert len(schedule._ready) <= 64 + 1.25 * 10


def test_removing_all_that_is_ready_leaves_next_to_nothing_to_pass_over() -> None:
    schedule = Schedule()
    for number in range(10_000):
        schedule.put(key(number), due=0.0, deadline=None)
    assert schedule.advance(0.0) == 10_000
    for number in range(10_000):
        schedule.remove(key(number))
    assert schedule.backlog() == 0
    assert len(schedule._ready) <= 64
    assert popped(schedule) == []


def test_those_of_one_deadline_go_in_the_order_in_which_they_fell_due() -> None:
    schedule = Schedule()
    for number, due in ((1, 3.0), (3, 1.0), (2, 2.0)):
        schedule.put(key(number), due=due, deadline=50.0)
        schedule.put(key(number + 10), due=due, deadline=None)
    assert schedule.advance(5.0) == 6
    assert popped(schedule) == [key(number) for number in (3, 2, 1, 13, 12, 11)]


def test_clearing_away_loses_nobody() -> None:
    schedule = Schedule()
    for move in range(1000):
        schedule.put(key(move % 10), due=10.0 + move % 100, deadline=None)
    assert schedule.advance(200.0) == 10
    assert set(popped(schedule)) == {key(number) for number in range(10)}
