"""Whether the daemon is alive and ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

LONGEST_SILENCE = 15.0
"""Seconds without a tick after which a scheduler counts as stuck; it should tick every five."""


class Health:
    """The state behind `/healthz` and `/readyz`.

    `tick_ages` returns how many seconds ago each scheduler last ticked. `requirements` are the
    steps to complete once before the daemon is ready, as phrases that follow "waiting for".
    `troubles` returns what prevents readiness at present, as similar phrases.
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
        """Mark one requirement as done; further calls change nothing."""
        self._missing.pop(requirement, None)

    @property
    def missing(self) -> tuple[str, ...]:
        """The open requirements and the present troubles; empty while the daemon is ready."""
        return (*self._missing, *self._troubles())

    def stalled(self) -> tuple[str, ...]:
        """Return a sentence for each stuck scheduler."""
        return tuple(
            f"the scheduler of {name} has not ticked for {silence:.0f} s"
            for name, silence in self._tick_ages().items()
            if silence > LONGEST_SILENCE
        )
