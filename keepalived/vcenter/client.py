"""The client of one vCenter: one method per operation, each returning an Answer."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from keepalived.host.clock import Clock
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome, SessionInfo
from keepalived.lease.model import Kind, check_session_id
from keepalived.settings import VCenterSettings
from keepalived.vcenter import parsing
from keepalived.vcenter.classify import NOT_FOUND, describe_unreadable, read_refusal
from keepalived.vcenter.dialects import ApiCall, ApiDialect
from keepalived.vcenter.exchange import Exchange
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.login import Login, LoginOutcome, Token
from keepalived.vcenter.transport import Reply, Transport

T = TypeVar("T")
Make = Callable[[ApiDialect], ApiCall]


class Success(NamedTuple):
    """The reply to a successful request, and what is needed to read its body."""

    reply: Reply
    dialect: ApiDialect
    secrets: Secrets

    def value(self) -> Any:
        """Return the decoded body. Raises FormError."""
        return self.dialect.value(self.reply.body, self.secrets)

    def elements(self) -> Iterator[Any]:
        """Return the elements of a list one by one. Raises FormError."""
        return self.dialect.elements(self.reply.body, self.secrets)


Parse = Callable[[Success], Awaitable[T]]
"""Reads an answer. Raises ValueError, or FormError for a body that is not a vCenter's."""


def at_once(read: Callable[[Success], T]) -> Parse[T]:
    """Return a parser for bodies that can be read without a pause."""

    async def parse(success: Success) -> T:
        return read(success)

    return parse


DETECTION_COOLDOWN = 15.0
"""If no dialect leads to a Content Library, the search is not repeated for this long, in seconds:
each session would start one, including a login."""

_NO_LIBRARY = "there is no Content Library at this url in any allowed dialect"
RESOURCE_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:~@-]+")
"""Ids that can be part of a path without leading to another endpoint."""


class Client:
    """Sends requests to one vCenter, in a dialect that it supports, with one token.

    Operations return an Answer, and do not raise for failures of the network or the server. An id
    that could lead to another endpoint is not sent, and the outcome is FAILED. `timeout`, in
    seconds, limits each request; a login before it has the same limit. `token` is a lent token,
    with which the request is sent without a login or logout.
    """

    def __init__(
        self,
        name: str,
        settings: VCenterSettings,
        transport: Transport,
        clock: Clock,
        on_login: Callable[[LoginOutcome], None] = lambda _outcome: None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._exchange = Exchange(transport, clock)
        self._login = Login(settings, self._exchange, clock, on_login)
        self._proven: set[ApiDialect] = set()
        self._no_library_until = -math.inf
        self._libraries: dict[str, str | None] = {}

    async def keep_alive(
        self,
        kind: Kind,
        session_id: str,
        progress: int | None,
        *,
        timeout: float,
        token: str | None = None,
    ) -> Answer[None]:
        """Extend a session's lifetime; `progress` is in percent."""
        return await self.query(
            lambda d: d.keep_alive(kind, session_id, progress),
            nothing,
            timeout,
            token,
            kind,
            session_id,
        )

    async def get(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[SessionInfo]:
        """Read a session."""
        now = self._clock.wall()
        read = at_once(
            lambda success: parsing.session_info(success.value(), success.reply.headers, now)
        )
        return await self.query(
            lambda d: d.get(kind, session_id), read, timeout, token, kind, session_id
        )

    async def list(
        self, kind: Kind, *, timeout: float, token: str | None = None
    ) -> Answer[tuple[str, ...]]:
        """List the ids of the calling user's sessions, up to `parsing.IDS_MOST`."""
        answer = await self.query(lambda d: d.list(kind), ids, timeout, token, kind)
        if answer.value is not None and len(answer.value) >= parsing.IDS_MOST:
            return answer._replace(detail=f"only the first {parsing.IDS_MOST} were read")
        return answer

    async def files(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[tuple[FileInfo, ...]]:
        """List the files of a session; those beyond `parsing.FILES_MOST` are merged into one."""
        return await self.query(
            lambda d: d.files(kind, session_id), _files, timeout, token, kind, session_id
        )

    async def cancel(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[None]:
        """Cancel a session on the server."""
        return await self.query(
            lambda d: d.cancel(kind, session_id), nothing, timeout, token, kind, session_id
        )

    async def item(
        self, item_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[ItemInfo]:
        """Read a library item, and the name of its library if that can be read."""
        if not RESOURCE_ID.fullmatch(item_id):
            return self._invalid(f"{item_id!r} is not a valid item id")
        answer: Answer[Any] = await self.query(lambda d: d.item(item_id), _item, timeout, token)
        if answer.value is None:
            return answer
        item, library_id = answer.value
        if library_id is not None:
            item = item._replace(library=await self._library_name(library_id, timeout, token))
        return answer._replace(value=item._replace(id=item.id or item_id))

    async def who_am_i(self, *, timeout: float, token: str | None = None) -> Answer[None]:
        """Check that the vCenter answers, with a request that concerns no session.

        If there is no token, a login is that request. Without credentials, any answer of a vCenter
        counts as success.
        """
        if token is None and not self._login.has_credentials:
            call = self._login.first_dialect.who_am_i
            answer, reply = await self._exchange.send(call, timeout)
            if reply is not None and answer.outcome is Outcome.OK:
                return await self._parsed(answer, self._login.first_dialect, reply, _user)
            if reply is not None and answer.outcome is Outcome.UNAUTHENTICATED:
                return answer._replace(outcome=Outcome.OK)  # from a working vCenter
            return answer
        if token is None and not self._login.has_token:
            sent_at = self.now()
            got = await self._login.token(timeout)
            return got if isinstance(got, Answer) else Answer(Outcome.OK, sent_at, self.now())
        lent = None if token is None else self._login.lent_token(token, self._proven)
        answer, _, _ = await self._send(lambda d: d.who_am_i, _user, timeout, lent)
        return answer

    async def query(
        self,
        make: Make,
        parse: Parse[T],
        timeout: float,
        lent_value: str | None = None,
        kind: Kind = Kind.UPDATE,
        session_id: str | None = None,
    ) -> Answer[T]:
        """Send any request, and read its answer with `parse`.

        `session_id` is the session that the request concerns, if any. A 404 may concern the route
        or the session; this is determined before returning it.
        """
        if session_id is not None:
            try:
                check_session_id(session_id)
            except ValueError as error:
                return self._invalid(str(error))
        lent = None if lent_value is None else self._login.lent_token(lent_value, self._proven)
        answer, token, reply = await self._send(make, parse, timeout, lent)
        if answer.outcome is Outcome.NOT_FOUND and token is not None and reply is not None:
            refusal = read_refusal(reply.body)
            may_be_from_proxy = refusal.type != NOT_FOUND or refusal.is_unknown_route
            if may_be_from_proxy and lent is None:
                # A proxy may answer 404 while the service behind it starts: the 404 counts only if
                # listing sessions succeeds.
                self._proven.discard(token.dialect)
            if may_be_from_proxy or token.dialect not in self._proven:
                answer, token = await self._find_route(kind, make, parse, answer, token, timeout)
        if answer.outcome is Outcome.OK and token is not None:
            self._proven.add(token.dialect)
        return answer

    async def token(self, *, timeout: float) -> Token | None:
        """Return the API token in use, for requests outside this client; None without one."""
        token = await self._login.token(timeout)
        return None if isinstance(token, Answer) else token

    def now(self) -> float:
        """Return the current time on the clock of answers, in boot-time seconds."""
        return self._clock.boot()

    async def close(self, *, timeout: float) -> None:
        """Log out and close the connections."""
        await self._login.log_out(timeout)
        await self._exchange.close()

    async def _library_name(self, library_id: str, timeout: float, token: str | None) -> str | None:
        if not RESOURCE_ID.fullmatch(library_id):
            return None
        if library_id not in self._libraries:
            answer = await self.query(lambda d: d.library(library_id), _name, timeout, token)
            if answer.value is None:
                return None
            self._libraries[library_id] = answer.value
        return self._libraries[library_id]

    async def _find_route(
        self,
        kind: Kind,
        make: Make,
        parse: Parse[T],
        not_found: Answer[T],
        token: Token,
        timeout: float,
    ) -> tuple[Answer[T], Token | None]:
        """Handle a 404 on an unproven route: search a dialect in which listing sessions works."""
        if self.now() < self._no_library_until:
            return not_found._replace(outcome=Outcome.FAILED, detail=_NO_LIBRARY), token
        listed = await self._prove(kind, token, timeout)
        if listed.outcome is Outcome.OK:
            return not_found, token
        if listed.outcome is not Outcome.NOT_FOUND:
            return listed, token
        other = await self._login.change_dialect(token, timeout)
        if isinstance(other, Answer):
            return other, None
        if other is None or other.dialect is token.dialect:
            return self._without_library(not_found, token), token
        answer, used, _ = await self._send(make, parse, timeout, other)
        if answer.outcome is Outcome.NOT_FOUND:
            listed = await self._prove(kind, other, timeout)
            if listed.outcome is Outcome.NOT_FOUND:
                answer = self._without_library(answer, token)
            elif listed.outcome is not Outcome.OK:
                answer = listed
        return answer, used

    async def _prove(self, kind: Kind, token: Token, timeout: float) -> Answer[Any]:
        """List sessions, which proves the dialect if it succeeds."""
        listed, used, _ = await self._send(lambda d: d.list(kind), ids, timeout, token)
        if listed.outcome is Outcome.OK and used is not None:
            self._proven.add(used.dialect)
        return listed

    def _without_library(self, answer: Answer[T], token: Token) -> Answer[T]:
        if not token.is_lent:  # a lent token proves nothing about others
            self._no_library_until = self.now() + DETECTION_COOLDOWN
        return answer._replace(outcome=Outcome.FAILED, detail=_NO_LIBRARY)

    async def _send(
        self, make: Make, parse: Parse[T], timeout: float, token: Token | None = None
    ) -> tuple[Answer[T], Token | None, Reply | None]:
        """Send a request with a token; after a 401, log in and repeat it once.

        A 401 on a lent token is returned: only its lender can replace it.
        """
        got = token or await self._login.token(timeout)
        if isinstance(got, Answer):
            return got, None, None
        answer, reply = await self._exchange.send(make(got.dialect), timeout, token=got.value)
        if answer.outcome is Outcome.UNAUTHENTICATED and self._login.may_replace(got):
            newer = await self._login.token(timeout, instead_of=got)
            if isinstance(newer, Answer):
                return newer, None, None
            got = newer
            answer, reply = await self._exchange.send(make(got.dialect), timeout, token=got.value)
            self._login.note_retry(is_401=answer.outcome is Outcome.UNAUTHENTICATED)
        if answer.outcome is not Outcome.OK or reply is None:
            return answer, got, reply
        return await self._parsed(answer, got.dialect, reply, parse, got.value), got, reply

    async def _parsed(
        self,
        answer: Answer[Any],
        dialect: ApiDialect,
        reply: Reply,
        parse: Parse[T],
        token: str | None = None,
    ) -> Answer[T]:
        """Return a success with its value, or a failure if its body cannot be read."""
        if parse is nothing and not reply.body:
            return answer  # nearly all answers
        secrets = self._exchange.secrets_with(token)
        try:
            value = await parse(Success(reply, dialect, secrets))
        except parsing.FormError as error:
            detail = describe_unreadable(reply, error, secrets)
            return answer._replace(outcome=Outcome.UNAVAILABLE, detail=detail)
        except ValueError as error:
            detail = f"the answer cannot be read: {error}"
            return answer._replace(outcome=Outcome.FAILED, detail=detail)
        return Answer(answer.outcome, answer.sent_at, answer.received_at, value, "", answer.status)

    def _invalid(self, detail: str) -> Answer[Any]:
        now = self.now()
        return Answer(Outcome.FAILED, now, now, detail=detail)


async def nothing(success: Success) -> None:
    """Check that the answer is empty."""
    parsing.check_nothing(success.reply.body)


async def ids(success: Success) -> tuple[str, ...]:
    """Read a list of ids."""
    return await parsing.ids(success.elements())


async def _files(success: Success) -> tuple[FileInfo, ...]:
    return await parsing.file_infos(success.elements())


_item = at_once(lambda success: parsing.item_info(success.value()))
_name = at_once(lambda success: parsing.text_of(success.value(), "name"))
_user = at_once(lambda success: parsing.check_user(success.value()))
