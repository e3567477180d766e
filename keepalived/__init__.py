"""Keeps VMware vSphere Content Library sessions alive during long uploads.

with keepalived.hold("https://vcenter.example.org", session_id, token=token) as held:
    upload(on_progress=held.progress)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keepalived.embedded.errors import (
        AccessRefused,
        HoldError,
        InvalidArguments,
        SessionLost,
        VCenterUnavailable,
    )
    from keepalived.embedded.hold import SessionHold, hold
    from keepalived.lease.events import SessionEnd
    from keepalived.lease.model import Kind, State

__all__ = [
    "AccessRefused",
    "HoldError",
    "InvalidArguments",
    "Kind",
    "SessionEnd",
    "SessionHold",
    "SessionLost",
    "State",
    "VCenterUnavailable",
    "hold",
]

_ERRORS = "keepalived.embedded.errors"
_HOMES = {
    "AccessRefused": _ERRORS,
    "HoldError": _ERRORS,
    "InvalidArguments": _ERRORS,
    "Kind": "keepalived.lease.model",
    "SessionEnd": "keepalived.lease.events",
    "SessionHold": "keepalived.embedded.hold",
    "SessionLost": _ERRORS,
    "State": "keepalived.lease.model",
    "VCenterUnavailable": _ERRORS,
    "hold": "keepalived.embedded.hold",
}


def __getattr__(name: str) -> object:
    """Import public names on first use, as the command line also imports this package."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
