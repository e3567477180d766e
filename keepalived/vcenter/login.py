"""API sessions: one token per vCenter, one login shared by all who wait, no needless logins."""

from __future__ import annotations

import asyncio
import hashlib
import math
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from keepalived.host.clock import Clock
from keepalived.lease.answers import Answer, Outcome
from keepalived.settings import Dialect as DialectName
from keepalived.settings import VCenterSettings
from keepalived.vcenter import parsing
from keepalived.vcenter.classify import read_refusal, words_of_refusal
from keepalived.vcenter.dialects import Api, ApiDialect, Rest
from keepalived.vcenter.exchange import Exchange
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.secrets import SecretError, read_password
from keepalived.vcenter.transport import Reply

REFUSED_SECONDS = 60.0
"""Refused credentials are not tried again for this long: the default policy of vSphere's single
sign-on locks an account after five failed logins within 180 seconds."""

REFUSED_ONCE_SECONDS = 10.0
"""Credentials that worked before are tried again this soon after they are refused, once: a faulty
directory refuses valid ones, too."""

LOGIN_BACKOFF = 5.0
"""After any other unexpected answer, a login is not tried again for this long, at most: otherwise
every session would ask for a token."""

# Answers to a login in a dialect that the server does not speak.
_NOT_THERE = frozenset({404, 405})

_NO_CREDENTIALS = (
    "no credentials are configured: set username and password_file, or lend an API token"
)
_USE_HEADER = {"vmware-use-header-authn": "true"}


class LoginOutcome(StrEnum):
    """How a login went; also the `outcome` label of the login counter."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Token:
    """An API token and the dialect it is used in. Tokens are compared by identity.

    A borrowed one belongs to an uploader: it is never replaced by a login, nor logged out.
    """

    value: str
    dialect: ApiDialect
    is_borrowed: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class _Failure:
    """A failed login: the secret it used, and until when it is not repeated.

    `until` is in boot-time seconds; the secret is kept as a digest.
    """

    answer: Answer[Any]
    digest: bytes
    until: float


@dataclass(eq=False, repr=False)
class Login:
    """Gets and keeps the token of one vCenter."""

    settings: VCenterSettings
    exchange: Exchange
    clock: Clock
    on_login: Callable[[LoginOutcome], None]

    def __post_init__(self) -> None:
        rest = Rest(self.settings.representation)
        chosen: dict[DialectName, tuple[ApiDialect, ...]]
        chosen = {DialectName.API: (Api(),), DialectName.REST: (rest,)}
        self._dialects = chosen.get(self.settings.dialect, (Api(), rest))
        self._token: Token | None = None
        self._consecutive_401s = 0
        self._not_before = -math.inf
        self._under_way: asyncio.Task[Token | Answer[Any]] | None = None
        self._failure: _Failure | None = None
        self._worked: bytes | None = None
        """The digest of the secret that the last login succeeded with, until it is refused."""

    @property
    def has_credentials(self) -> bool:
        """Whether it is possible to log in."""
        return self.settings.username is not None

    @property
    def has_token(self) -> bool:
        """Whether there is a token of our own, valid or not."""
        return self._token is not None

    @property
    def first_dialect(self) -> ApiDialect:
        """The dialect that is tried first."""
        return self._dialects[0]

    def borrow(self, value: str, proven: Collection[ApiDialect]) -> Token:
        """Return an uploader's token for sending, in a proven dialect if there is one."""
        known = (dialect for dialect in self._dialects if dialect in proven)
        return Token(value, next(known, self._dialects[0]), is_borrowed=True)

    async def token(
        self, timeout: float, *, instead_of: Token | None = None
    ) -> Token | Answer[Any]:
        """Return a token other than `instead_of`, or the answer that explains why there is none.

        All waiting callers share one login; cancelling one caller does not cancel it for the
        others.
        """
        if self._token is not None and self._token is not instead_of:
            return self._token
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._log_in(timeout), name="login")
            self._under_way.add_done_callback(self._done)
        return await asyncio.shield(self._under_way)

    def followed(self, *, by_401: bool) -> None:
        """Record whether a login that followed a 401 was itself followed by a 401."""
        if not by_401:
            self._consecutive_401s = 0
            return
        self._consecutive_401s += 1
        pause = min(REFUSED_SECONDS, 2.0 ** min(self._consecutive_401s - 1, 10))
        self._not_before = self.clock.boot() + pause

    def may_replace(self, token: Token) -> bool:
        """Whether a 401 on `token` is worth a login.

        If new tokens are also answered by 401, logins become rare: after 1, 2, 4 … seconds, and
        finally once a minute.
        """
        if token.is_borrowed:
            return False
        return token is not self._token or self.clock.boot() >= self._not_before

    async def change_dialect(self, wrong: Token, timeout: float) -> Token | Answer[Any] | None:
        """Log in in another dialect than that of `wrong`; None if there is no other."""
        others = tuple(each for each in self._dialects if each is not wrong.dialect)
        if not others:
            return None
        if wrong.is_borrowed:
            return replace(wrong, dialect=others[0])
        if self._token is wrong:
            self._token = None
            self._dialects = (*others, wrong.dialect)
            await self.exchange.send(wrong.dialect.logout, timeout, token=wrong.value)
        return await self.token(timeout, instead_of=wrong)

    async def log_out(self, timeout: float) -> None:
        """End the API session, if there is one, whether the server receives the request or not."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait([self._under_way])
        token, self._token = self._token, None
        if token is not None:
            await self.exchange.send(token.dialect.logout, timeout, token=token.value)

    def _done(self, task: asyncio.Task[Token | Answer[Any]]) -> None:
        self._under_way = None
        if not task.cancelled() and task.exception() is None:
            result = task.result()
            self._token = result if isinstance(result, Token) else None

    async def _log_in(self, timeout: float) -> Token | Answer[Any]:
        now = self.clock.boot()
        if not self.has_credentials:
            # Concerns only requests without a token of their own; says nothing about the vCenter.
            return Answer(Outcome.FAILED, now, now, detail=_NO_CREDENTIALS)
        try:
            password = await read_password(self.settings)
        except SecretError as error:
            self.on_login(LoginOutcome.FAILED)
            return Answer(Outcome.LOGIN_REFUSED, now, now, detail=str(error))
        digest = hashlib.sha256(password.encode()).digest()
        failure = self._failure
        if failure is not None and failure.digest == digest and now < failure.until:
            words = f"{failure.answer.detail} (not tried again so soon)"
            return failure.answer._replace(sent_at=now, received_at=now, detail=words)
        result = await self._try_dialects(password, timeout)
        if isinstance(result, Token):
            self._failure, self._worked = None, digest
            self.on_login(LoginOutcome.OK)
            return result
        said = LoginOutcome.FAILED
        if result.outcome is Outcome.LOGIN_REFUSED:
            said, pause = LoginOutcome.REFUSED, REFUSED_SECONDS
            if digest == self._worked:
                pause, self._worked = REFUSED_ONCE_SECONDS, None
        elif result.outcome.is_vcenter_failure:
            pause = 0.0  # The keeper counts these, and then probes at a pace of its own.
        else:
            pause = min(LOGIN_BACKOFF, self.settings.session_timeout / 20)
        self._failure = _Failure(result, digest, now + pause)
        self.on_login(said)
        return result

    async def _try_dialects(self, password: str, timeout: float) -> Token | Answer[Any]:
        user = self.settings.username or ""
        credentials = b64encode(f"{user}:{password}".encode()).decode("ascii")
        headers = {"authorization": f"Basic {credentials}", **_USE_HEADER}
        self._keep_secret(password, credentials)
        for dialect in self._dialects:
            answer, reply = await self.exchange.send(dialect.login, timeout, headers=headers)
            if answer.status in _NOT_THERE:
                continue
            if reply is not None and _is_refusal(reply):
                words = f"the credentials of {user} were refused"
                if told := words_of_refusal(reply, self.exchange.secrets):
                    words = f"{words}: {told}"
                return answer._replace(outcome=Outcome.LOGIN_REFUSED, detail=words)
            if answer.outcome is Outcome.FORBIDDEN:
                # A proxy may have refused the request before the vCenter saw the credentials.
                return answer._replace(outcome=Outcome.UNAVAILABLE)
            if reply is None or answer.outcome is not Outcome.OK:
                return answer
            try:
                # The token itself is read here: nothing is hidden.
                token = Token(parsing.token(dialect.value(reply.body)), dialect)
            except parsing.FormError:
                words = "the login was answered, but not as a vCenter does; check the url"
                return answer._replace(outcome=Outcome.UNAVAILABLE, detail=words)
            self._keep_secret(password, credentials, token.value)
            return token
        names = " nor ".join(f"/{dialect.name}" for dialect in self._dialects)
        words = f"no login at {names}: not a vCenter, or the wrong dialect"
        return answer._replace(outcome=Outcome.FAILED, detail=words)

    def _keep_secret(self, *secrets: str) -> None:
        """Hide these secrets, and the token in use so far, in all answers."""
        former = () if self._token is None else (self._token.value,)
        self.exchange.secrets = Secrets((*secrets, *former))


def _is_refusal(reply: Reply) -> bool:
    """Whether a login was refused by the vCenter: a proxy's 403 says nothing about the user."""
    if reply.status != 403:
        return reply.status == 401
    return not reply.body.strip() or bool(read_refusal(reply.body).type)
