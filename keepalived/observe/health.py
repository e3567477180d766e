"""Whether the daemon is alive, and whether it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

LONGEST_SILENCE = 15.0
"""Seconds without a tick after which a scheduler counts as stuck; it means to tick every five."""


class Health:
    """What the health pages report.

    `tick_ages` tells how many seconds ago each scheduler last ticked; `requirements` name, in words
    that go after "waiting for", what has to be done once before the daemon is ready. `troubles`
    tells, in such words too, what is in the way at present.
    """

    def __init__(
        self,
        tick_ages: Callable[[], Mapping[str, float]],
        requirements: Iterable[str],
        troubles: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._tick_ages = tick_ages
        self._troubles = troubles
        self._missing = dict.fromkeys(requirements)

    def done(self, requirement: str) -> None:
        """Tick off one requirement; further calls change nothing."""
        self._missing.pop(requirement, None)

    @property
    def missing(self) -> tuple[str, ...]:
        """The requirements still open, and what is in the way; empty while the daemon is ready."""
        return (*self._missing, *self._troubles())

    def stalled(self) -> tuple[str, ...]:
        """Return a sentence for each scheduler that is stuck."""
        return tuple(
            f"the scheduler of {name} has not ticked for {silence:.0f} s"
            for name, silence in self._tick_ages().items()
            if silence > LONGEST_SILENCE
        )
