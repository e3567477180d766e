"""Sends one request, measures its time, and classifies the answer or the failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keepalived.host.clock import Clock
from keepalived.lease.answers import Answer, Outcome
from keepalived.vcenter import parsing
from keepalived.vcenter.classify import describe_error, outcome_of, read_refusal
from keepalived.vcenter.dialects import ApiCall
from keepalived.vcenter.hiding import NO_SECRETS, Secrets
from keepalived.vcenter.transport import (
    AnswerTooLong,
    Reply,
    StaleConnection,
    Transport,
    TransportError,
)

TOKEN_HEADER = "vmware-api-session-id"  # noqa: S105 - the header's name
_NO_HEADERS: Mapping[str, str] = {}


@dataclass(eq=False, repr=False, slots=True)
class Exchange:
    """Sends calls over a transport. Does not raise for failures of the network or the server."""

    transport: Transport
    clock: Clock
    secrets: Secrets = NO_SECRETS
    """Secrets that no text of any answer may contain."""

    async def send(
        self,
        call: ApiCall,
        timeout: float,
        *,
        token: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> tuple[Answer[Any], Reply | None]:
        """Send a call; return its classified answer, and the reply if there was one.

        The texts of the answer contain neither the token nor any of the `secrets`.
        """
        sending = dict(headers)
        if token is not None:
            sending[TOKEN_HEADER] = token
        if call.content_type is not None:
            sending["content-type"] = call.content_type
        send, clock = self.transport.send, self.clock
        sent_at = clock.boot()
        try:
            try:
                reply = await send(call.method, call.path, sending, call.body, timeout)
            except StaleConnection:
                # The server had closed the pooled connection, which is not a failure: send again.
                sent_at = clock.boot()
                reply = await send(call.method, call.path, sending, call.body, timeout)
        except TransportError as error:
            # A working vCenter may return a list that is too long.
            is_long_list = isinstance(error, AnswerTooLong) and call.method == "GET"
            outcome = Outcome.FAILED if is_long_list else error.outcome
            return Answer(outcome, sent_at, clock.boot(), detail=str(error)), None
        received_at = clock.boot()
        outcome = outcome_of(reply)
        if outcome is Outcome.OK:
            return Answer(outcome, sent_at, received_at, status=reply.status), reply
        secrets = self.secrets_with(token)
        answer: Answer[Any] = Answer(
            outcome,
            sent_at,
            received_at,
            detail=describe_error(reply, secrets),
            status=reply.status,
            retry_after=parsing.retry_after(reply.headers),
            error_type=read_refusal(reply.body, secrets).type,
        )
        return answer, reply

    def secrets_with(self, token: str | None) -> Secrets:
        """Return the secrets to hide in the answer to a request with this token."""
        known = self.secrets
        return known if token is None or token in known else Secrets((*known, token))

    async def close(self) -> None:
        """Close the transport."""
        await self.transport.close()
