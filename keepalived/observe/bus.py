"""The event bus: every event goes to every listener, in the order in which they were added."""

from __future__ import annotations

import structlog

from keepalived.lease.events import Event, Listener

log = structlog.get_logger("clkeepalived")


class EventBus:
    """A listener that passes each event on to others, whatever its type.

    An exception in one listener is logged, and stops neither the other listeners nor the engine.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def add(self, listener: Listener) -> None:
        """Add a listener for future events."""
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Remove a listener."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)

    def notify(self, event: Event) -> None:
        """Pass an event on."""
        for listener in self._listeners:
            try:
                listener.notify(event)
            except Exception:
                log.exception("event_not_handled", kind=type(event).__name__)
