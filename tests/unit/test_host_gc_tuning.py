"""Garbage collection: old objects are skipped, but collected in the end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from keepalived.host.gc_tuning import long_lived_set_aside

_OLDEST = 2


class Node:
    """An object that can be part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def looked_at() -> Iterator[list[int]]:
    """How many objects each look through the oldest generation begins with."""
    seen: list[int] = []

    def heard(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == _OLDEST:
            seen.append(sum(len(gc.get_objects(generation)) for generation in range(3)))

    gc.callbacks.append(heard)
    yield seen
    gc.callbacks.remove(heard)


def test_what_a_look_has_left_is_not_looked_at_again(looked_at: list[int]) -> None:
    held = [[number] for number in range(50_000)]
    looked_at.clear()
    with long_lived_set_aside():
        gc.collect()
        gc.collect()

    first, second = looked_at
    assert first > len(held)
    assert second < len(held) / 10


def test_young_garbage_is_found() -> None:
    with long_lived_set_aside():
        gc.collect()
        gone = weakref.ref(Node())
        gc.collect()

        assert gone() is None


def grown_old() -> weakref.ref[Node]:
    """Return a reference to garbage that has outlived a collection."""
    old = Node()
    gone = weakref.ref(old)
    gc.collect()
    return gone


def test_old_garbage_is_found_by_a_look_through_everything() -> None:
    with long_lived_set_aside(whole_share=1e6):  # at once, nearly
        gone = grown_old()
        for _ in range(1_000):
            if gone() is None:
                break
            gc.collect()

        assert gone() is None


def test_old_garbage_waits_while_looking_for_it_is_dear() -> None:
    with long_lived_set_aside():
        gone = grown_old()
        gc.collect()

        assert gone() is not None


def test_the_interpreter_is_left_as_it_was() -> None:
    before = list(gc.callbacks), gc.get_threshold()
    with long_lived_set_aside():
        gc.collect()
        assert gc.get_freeze_count() > 0

    assert gc.get_freeze_count() == 0
    assert (gc.callbacks, gc.get_threshold()) == before


def test_old_garbage_is_found_once_the_memory_has_grown() -> None:
    memory = 100
    with long_lived_set_aside(memory=lambda: memory):
        gone = grown_old()
        gc.collect()
        assert gone() is not None
        memory = 199
        gc.collect()
        gc.collect()
        assert gone() is not None
        memory = 201
        gc.collect()  # sees that it has grown
        gc.collect()
        assert gone() is None
