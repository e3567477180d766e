"""The options of `exec`, which are known before the rest of this package is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keepalived.lease.model import Kind
from keepalived.settings import VCenterSettings
from keepalived.wrapper.ownership import Selector

_FIRST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """The user's options. Durations in seconds.

    With `ends_on_loss` the command is asked to end when a session of its own is lost.
    `cancel_command` is the command that cancels a session, without the session's id.
    `blocked_signals` are the signals that are blocked in the command.
    """

    argv: tuple[str, ...]
    vcenter: str
    settings: VCenterSettings
    wanted: Selector
    kind: Kind
    settle: float
    ends_on_loss: bool
    stall_timeout: float
    cancel_command: Sequence[str]
    blocked_signals: frozenset[int] = frozenset()


def first_timeout(settings: VCenterSettings) -> float:
    """Return how many seconds to wait for an answer before the command runs.

    Lifetimes do not bound it yet.
    """
    return settings.request_timeout or _FIRST_SECONDS
