"""What the registry wants written down, so that it outlives the process."""

from __future__ import annotations

from typing import Protocol

from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session


class Journal(Protocol):
    """Takes down holds durably, and what is known of sessions before long."""

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Return once the hold is on disk; raises what its store raises."""

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Return once the hold is gone from the disk; raises what its store raises."""

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove, before long, a hold whose time is over."""

    def note_session(self, session: Session) -> None:
        """Take down, within seconds, how a session stands."""

    def note_end(self, session: Session, ended_at: float) -> None:
        """Take down how a session ended, at `ended_at` of the boot-time clock; its holds go."""

    def forget(self, key: SessionKey) -> None:
        """Drop what is known of a session."""


class Unrecorded:
    """The journal of an engine that keeps nothing: of a wrapped command, or of a test."""

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Keep nothing."""

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Keep nothing."""

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Keep nothing."""

    def note_session(self, session: Session) -> None:
        """Keep nothing."""

    def note_end(self, session: Session, ended_at: float) -> None:
        """Keep nothing."""

    def forget(self, key: SessionKey) -> None:
        """Keep nothing."""
