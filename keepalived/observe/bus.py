"""The event bus: every event goes to every listener, in the order in which they were added."""

from __future__ import annotations

import structlog

from keepalived.lease.events import Event, Listener

log = structlog.get_logger("clkeepalived")


class EventBus:
    """A listener that passes each event on to others. Knows no event by name.

    An exception of one listener is logged, and keeps neither the others nor the engine from going
    on.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def add(self, listener: Listener) -> None:
        """Let a listener receive events from now on."""
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Let a listener receive no more events."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)

    def notify(self, event: Event) -> None:
        """Pass an event on."""
        for listener in self._listeners:
            try:
                listener.notify(event)
            except Exception:
                log.exception("event_not_handled", kind=type(event).__name__)
