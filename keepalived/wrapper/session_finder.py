"""Find the sessions that a command opens: those that are new on its account."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import NamedTuple

from keepalived.keeper.ports import VCenter
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.model import Kind, SessionKey
from keepalived.wrapper.tokens import Lent


class SearchError(Exception):
    """The account's sessions cannot be listed; the message says why."""


class FirstList(NamedTuple):
    """A request for the account's update sessions, and the lent token with which it was sent."""

    token: str | None
    answer: Awaitable[Answer[tuple[str, ...]]]


@dataclass(eq=False, slots=True)
class SessionFinder:
    """Lists the account's sessions of both kinds, with two requests per poll.

    The requests use the uploader's token if it is known, since the server lists the sessions of the
    account that asks. If the token is refused, they use our own login.
    A poll that fails finds nothing, and the next one finds what it missed. `first` is the answer to
    the first request, for update sessions, if it was sent before.
    """

    name: str
    vcenter: VCenter
    lent: Lent
    timeout: float
    first: FirstList | None = None
    failed_looks: int = field(default=0, init=False)
    """How many polls in a row could not list the update sessions."""
    reason: str = field(default="", init=False)
    """Why the last of them failed, for people."""
    _silent: float = field(default=0.0, init=False)
    _failing_since: float | None = field(default=None, init=False)
    _known: set[SessionKey] = field(default_factory=set, init=False)

    async def begin(self, timeout: float) -> None:
        """Record the existing sessions; `timeout` applies to each answer. Raises SearchError."""
        for kind in Kind:
            answer = await self._list(kind, timeout)
            if answer.value is not None:
                self._known |= self._keys(kind, answer.value)
            elif kind is Kind.UPDATE:
                raise SearchError(answer.detail or answer.outcome.value)

    async def appeared(self) -> list[SessionKey]:
        """Return the sessions that were not there at the last poll."""
        found: list[SessionKey] = []
        for kind in Kind:
            answer = await self._list(kind, self.timeout)
            if kind is Kind.UPDATE:
                self._note(answer)
            new = self._keys(kind, answer.value or ()) - self._known
            self._known |= new
            found += sorted(new)
        return found

    def silent_seconds(self, now: float) -> float:
        """Return for how long, in all, the update sessions could not be listed."""
        since = self._failing_since
        return self._silent + (0.0 if since is None else now - since)

    def _note(self, answer: Answer[tuple[str, ...]]) -> None:
        if answer.value is None:
            self.failed_looks += 1
            self.reason = answer.detail or answer.outcome.value
            if self._failing_since is None:
                self._failing_since = answer.sent_at
        else:
            self._silent = self.silent_seconds(answer.received_at)
            self.failed_looks, self._failing_since = 0, None

    async def _list(self, kind: Kind, timeout: float) -> Answer[tuple[str, ...]]:
        if self.first is not None and kind is Kind.UPDATE:
            (token, answering), self.first = self.first, None
            answer = await answering
        else:
            token = self.lent.token
            answer = await self.vcenter.list(kind, timeout=timeout, token=token)
        if token is None or answer.outcome is not Outcome.UNAUTHENTICATED:
            return answer
        if token == self.lent.token:
            self.lent.refuse()
        return await self.vcenter.list(kind, timeout=timeout)

    def _keys(self, kind: Kind, ids: tuple[str, ...]) -> set[SessionKey]:
        return {SessionKey(self.name, kind, each) for each in ids}
