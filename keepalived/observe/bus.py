"""The event bus: events go to the listeners in the order in which they were added."""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from keepalived.lease.events import Event, Listener

log = structlog.get_logger("clkeepalived")


class EventBus:
    """A listener that passes each event on to others.

    An exception in one listener is logged, and stops neither the other listeners nor the engine.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners: tuple[tuple[Listener, Collection[type]], ...] = ()
        self._by_type: dict[type, list[Callable[[Event], None]]] = {}
        for listener in listeners:
            self.add(listener)

    def add(self, listener: Listener, *, ignoring: Collection[type] = ()) -> None:
        """Add a listener for future events, except those of the types in `ignoring`."""
        self._listeners = (*self._listeners, (listener, ignoring))
        self._by_type = {}

    def remove(self, listener: Listener) -> None:
        """Remove a listener."""
        self._listeners = tuple(each for each in self._listeners if each[0] is not listener)
        self._by_type = {}

    def notify(self, event: Event) -> None:
        """Pass an event on."""
        kind = type(event)
        if (wanting := self._by_type.get(kind)) is None:
            wanting = [each.notify for each, ignoring in self._listeners if kind not in ignoring]
            self._by_type[kind] = wanting
        for notify in wanting:
            try:
                notify(event)
            except Exception:
                log.exception("event_not_handled", kind=kind.__name__)
