"""Who did what, and which owners ended, in the log."""

from __future__ import annotations

import logging

import structlog

from keepalived.control.callers import Caller
from keepalived.control.hold_index import Party
from keepalived.control.views import label
from keepalived.lease.model import SessionKey

log = structlog.get_logger("clkeepalived")


def log_by(
    caller: Caller, event: str, key: SessionKey, *, level: int = logging.INFO, **facts: object
) -> None:
    """Write down that a caller did something to a session."""
    log.log(
        level,
        event,
        vcenter=key.vcenter,
        session_id=key.id,
        kind=key.kind.value,
        **caller.traces,
        **facts,
    )


def log_owner_ended(key: SessionKey, party: Party, reason: str) -> None:
    """Write down that a hold goes because what it lived with has ended."""
    log.info(
        "owner_ended",
        vcenter=key.vcenter,
        session_id=key.id,
        kind=key.kind.value,
        holder=party.uid,
        owner=label(party.owner),
        reason=reason,
    )
