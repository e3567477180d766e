"""The settings by which a keeper renews."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived.lease.session import RequestKind
from keepalived.lease.stalls import STALL_TIMEOUT


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """The settings of a keeper. Durations are in seconds.

    If `request_timeout` is None, timeouts are computed (see `timing.request_timeout`). `follow_ups`
    are the requests after each keep-alive. `has_credentials` says whether requests can be sent
    without a lent token.
    """

    session_timeout: float = 300.0
    request_timeout: float | None = None
    max_in_flight: int = 8
    follow_ups: tuple[RequestKind, ...] = (RequestKind.GET, RequestKind.FILES)
    stall_timeout: float = STALL_TIMEOUT
    has_credentials: bool = True
