"""Inject faults: their effects, the requests they affect, how often and how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keepalived.simulator.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class Latency:
    """Waits; with `act_first` after the operation was carried out, otherwise before."""

    seconds: float
    act_first: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answers."""

    act_first: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Resets the connection instead of answering."""

    act_first: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuses all connections of all clients; only its duration can be limited."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Answers with a status of 400 or more, and `Retry-After` in seconds if given."""

    status: int
    retry_after: float | None = None
    act_first: bool = False


@dataclass(frozen=True, slots=True)
class UnknownRoute:
    """Answers as if the path did not exist."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Breaks off in the middle of the body. Answers without a body are left alone."""


@dataclass(frozen=True, slots=True)
class Skew:
    """Shifts the wall clock by `seconds` in the `Date` header, `expiration_time`, or both."""

    seconds: float
    date: bool = True
    expiration_time: bool = True


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Gives `seconds` of life to the session that the request keeps alive, or creates.

    Unless `announced`, `expiration_time` still shows the usual lifetime.
    """

    seconds: float
    announced: bool = True


Effect = Latency | Hang | Reset | Refuse | Fail | UnknownRoute | Truncate | Skew | Lifetime

EFFECTS: dict[str, type[Effect]] = {
    "latency": Latency,
    "hang": Hang,
    "reset": Reset,
    "refuse": Refuse,
    "fail": Fail,
    "unknown_route": UnknownRoute,
    "truncate": Truncate,
    "skew": Skew,
    "lifetime": Lifetime,
}
"""The effects, by their names in the admin endpoint and the ledger."""

_NAMES = {effect: name for name, effect in EFFECTS.items()}


def effect_name(effect: Effect) -> str:
    """Return the name of an effect."""
    return _NAMES[type(effect)]


@dataclass(slots=True)
class Fault:
    """An effect and the requests it affects: those that match all given conditions.

    `route` is an operation's name or a pattern such as `update_session.*`. Of the matching requests
    the fault affects every `every`-th, and `remaining` more in total. It is in force from `start`
    until `until`, in clock seconds.
    """

    id: int
    effect: Effect
    method: str | None = None
    route: str | None = None
    session_id: str | None = None
    predicate: Callable[[LedgerEntry], bool] | None = None
    remaining: int | None = None
    start: float = -math.inf
    until: float = math.inf
    every: int = 1
    passed: int = 0

    def concerns(self, entry: LedgerEntry) -> bool:
        """Whether a request matches the conditions other than time and count."""
        return (
            self.method in (None, entry.method)
            and (self.route is None or fnmatchcase(entry.route, self.route))
            and self.session_id in (None, entry.session_id)
            and (self.predicate is None or self.predicate(entry))
        )

    def takes(self) -> bool:
        """Count a matching request; return whether the fault affects it."""
        self.passed = (self.passed + 1) % self.every
        return self.passed == 0


class Faults:
    """The faults of one simulator. All that match a request affect it, oldest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._faults: list[Fault] = []
        self._count = 0
        self.on_change: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(
        self,
        effect: Effect,
        *,
        method: str | None = None,
        route: str | None = None,
        session_id: str | None = None,
        predicate: Callable[[LedgerEntry], bool] | None = None,
        count: int | None = None,
        every: int = 1,
        start: float | None = None,
        seconds: float = math.inf,
    ) -> Fault:
        """Add a fault in force from `start` (clock seconds; now by default) for `seconds`.

        Raises ValueError for Refuse with conditions other than time, and for `every` below one.
        """
        if every < 1:
            raise ValueError(f"every has to be at least 1, and is {every}")
        conditions = (method, route, session_id, predicate, count)
        if isinstance(effect, Refuse) and (every > 1 or set(conditions) != {None}):
            raise ValueError("refuse affects all connections: only the duration can be limited")
        begin = self._clock() if start is None else start
        self._count += 1
        until = begin + seconds
        fault = Fault(self._count, effect, *conditions, start=begin, until=until, every=every)
        self._faults.append(fault)
        self._changed()
        return fault

    def remove(self, fault: Fault) -> None:
        """Remove a fault, if it is still in force."""
        if fault in self._faults:
            self._faults.remove(fault)
            self._changed()

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()
        self._changed()

    def hitting(self, entry: LedgerEntry) -> list[Effect]:
        """Return the effects on a request, and count it against their faults."""
        now = self._clock()
        self._faults = [each for each in self._faults if now < each.until]
        hits = [
            each
            for each in self._faults
            if each.start <= now and each.concerns(entry) and each.takes()
        ]
        for fault in hits:
            if fault.remaining is not None:
                fault.remaining -= 1
                if fault.remaining <= 0:
                    self._faults.remove(fault)
        return [fault.effect for fault in hits]

    def refusal(self) -> tuple[bool, float]:
        """Return whether connections are refused now, and when that may change (clock seconds)."""
        now = self._clock()
        spans = [
            (fault.start, fault.until)
            for fault in self._faults
            if isinstance(fault.effect, Refuse) and now < fault.until
        ]
        is_refusing = any(start <= now for start, _ in spans)
        changes = [until if start <= now else start for start, until in spans]
        return is_refusing, min(changes, default=math.inf)

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()
