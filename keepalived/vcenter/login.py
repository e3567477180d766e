"""Gets the API token of a vCenter: one login for all waiting requests, and as few as possible."""

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
from keepalived.vcenter.classify import read_refusal, refusal_message
from keepalived.vcenter.dialects import Api, ApiDialect, Rest
from keepalived.vcenter.exchange import Exchange
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.secrets import SecretError, read_password
from keepalived.vcenter.transport import Reply

REFUSED_SECONDS = 60.0
"""Refused credentials are not retried for this long: by default, vSphere's single sign-on locks an
account after five failed logins within 180 seconds."""

REFUSED_ONCE_SECONDS = 10.0
"""Credentials that worked before are retried once this soon after a refusal: a faulty directory
service may refuse valid ones."""

LOGIN_BACKOFF = 5.0
"""After any other unexpected answer, a login is not retried for at most this long; otherwise every
session would cause one."""

# Statuses that answer a login in a dialect that the server does not support.
_NO_SUCH_DIALECT = frozenset({404, 405})

_NO_CREDENTIALS = (
    "no credentials are configured: set username and password_file, or lend an API token"
)
_USE_HEADER = {"vmware-use-header-authn": "true"}


class LoginOutcome(StrEnum):
    """The outcome of a login; also the `outcome` label of the login counter."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Token:
    """An API token and its dialect. Tokens are compared by identity.

    A lent token belongs to an uploader: it is never replaced by a login, nor logged out.
    """

    value: str
    dialect: ApiDialect
    is_lent: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class _Failure:
    """A failed login, the digest of its password, and until when it is not repeated.

    `until` is in boot-time seconds.
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
        self._running_login: asyncio.Task[Token | Answer[Any]] | None = None
        self._failure: _Failure | None = None
        self._working_digest: bytes | None = None
        """The digest of the password of the last successful login, until it is refused."""

    @property
    def has_credentials(self) -> bool:
        """Whether it is possible to log in."""
        return self.settings.username is not None

    @property
    def has_token(self) -> bool:
        """Whether there is a token from a login, valid or not."""
        return self._token is not None

    @property
    def first_dialect(self) -> ApiDialect:
        """The dialect that is tried first."""
        return self._dialects[0]

    def lent_token(self, value: str, proven: Collection[ApiDialect]) -> Token:
        """Return an uploader's token for a request, in a proven dialect if there is one."""
        known = (dialect for dialect in self._dialects if dialect in proven)
        return Token(value, next(known, self._dialects[0]), is_lent=True)

    async def token(
        self, timeout: float, *, instead_of: Token | None = None
    ) -> Token | Answer[Any]:
        """Return a token other than `instead_of`, or the answer that explains why there is none.

        Waiting callers share one login, which continues if one of them is cancelled.
        """
        if self._token is not None and self._token is not instead_of:
            return self._token
        if self._running_login is None:
            self._running_login = asyncio.create_task(self._log_in(timeout), name="login")
            self._running_login.add_done_callback(self._done)
        return await asyncio.shield(self._running_login)

    def note_retry(self, *, is_401: bool) -> None:
        """Record whether a request that was repeated after a login was again answered by 401."""
        if not is_401:
            self._consecutive_401s = 0
            return
        self._consecutive_401s += 1
        pause = min(REFUSED_SECONDS, 2.0 ** min(self._consecutive_401s - 1, 10))
        self._not_before = self.clock.boot() + pause

    def may_replace(self, token: Token) -> bool:
        """Whether a login should replace `token` after a 401.

        If new tokens are also answered by 401, logins are delayed: by 1, 2, 4 … seconds, up to a
        minute.
        """
        if token.is_lent:
            return False
        return token is not self._token or self.clock.boot() >= self._not_before

    async def change_dialect(self, wrong: Token, timeout: float) -> Token | Answer[Any] | None:
        """Log in with another dialect than that of `wrong`; return None if there is none."""
        others = tuple(each for each in self._dialects if each is not wrong.dialect)
        if not others:
            return None
        if wrong.is_lent:
            return replace(wrong, dialect=others[0])
        if self._token is wrong:
            self._token = None
            self._dialects = (*others, wrong.dialect)
            await self.exchange.send(wrong.dialect.logout, timeout, token=wrong.value)
        return await self.token(timeout, instead_of=wrong)

    async def log_out(self, timeout: float) -> None:
        """Log out if there is an API session. Failures of the request are ignored."""
        if self._running_login is not None:
            self._running_login.cancel()
            await asyncio.wait([self._running_login])
        token, self._token = self._token, None
        if token is not None:
            await self.exchange.send(token.dialect.logout, timeout, token=token.value)

    def _done(self, task: asyncio.Task[Token | Answer[Any]]) -> None:
        self._running_login = None
        if not task.cancelled() and task.exception() is None:
            result = task.result()
            self._token = result if isinstance(result, Token) else None

    async def _log_in(self, timeout: float) -> Token | Answer[Any]:
        now = self.clock.boot()
        if not self.has_credentials:
            # Concerns only requests without a lent token; says nothing about the vCenter.
            return Answer(Outcome.FAILED, now, now, detail=_NO_CREDENTIALS)
        try:
            password = await read_password(self.settings)
        except SecretError as error:
            self.on_login(LoginOutcome.FAILED)
            return Answer(Outcome.LOGIN_REFUSED, now, now, detail=str(error))
        digest = hashlib.sha256(password.encode()).digest()
        failure = self._failure
        if failure is not None and failure.digest == digest and now < failure.until:
            detail = f"{failure.answer.detail} (not retried yet)"
            return failure.answer._replace(sent_at=now, received_at=now, detail=detail)
        result = await self._try_dialects(password, timeout)
        if isinstance(result, Token):
            self._failure, self._working_digest = None, digest
            self.on_login(LoginOutcome.OK)
            return result
        outcome = LoginOutcome.FAILED
        if result.outcome is Outcome.LOGIN_REFUSED:
            outcome, pause = LoginOutcome.REFUSED, REFUSED_SECONDS
            if digest == self._working_digest:
                pause, self._working_digest = REFUSED_ONCE_SECONDS, None
        elif result.outcome.is_vcenter_failure:
            pause = 0.0  # The keeper counts these, and schedules its own probes.
        else:
            pause = min(LOGIN_BACKOFF, self.settings.session_timeout / 20)
        self._failure = _Failure(result, digest, now + pause)
        self.on_login(outcome)
        return result

    async def _try_dialects(self, password: str, timeout: float) -> Token | Answer[Any]:
        user = self.settings.username or ""
        credentials = b64encode(f"{user}:{password}".encode()).decode("ascii")
        headers = {"authorization": f"Basic {credentials}", **_USE_HEADER}
        self._hide_secrets(password, credentials)
        for dialect in self._dialects:
            answer, reply = await self.exchange.send(dialect.login, timeout, headers=headers)
            if answer.status in _NO_SUCH_DIALECT:
                continue
            if reply is not None and _is_refusal(reply):
                detail = f"the credentials of {user} were refused"
                if message := refusal_message(reply, self.exchange.secrets):
                    detail = f"{detail}: {message}"
                return answer._replace(outcome=Outcome.LOGIN_REFUSED, detail=detail)
            if answer.outcome is Outcome.FORBIDDEN:
                # A proxy may have refused the request before the vCenter saw the credentials.
                return answer._replace(outcome=Outcome.UNAVAILABLE)
            if reply is None or answer.outcome is not Outcome.OK:
                return answer
            try:
                # This reads the token itself, so no secrets are hidden.
                token = Token(parsing.token(dialect.value(reply.body)), dialect)
            except parsing.FormError:
                detail = "the answer to the login is not a vCenter's; check the url"
                return answer._replace(outcome=Outcome.UNAVAILABLE, detail=detail)
            self._hide_secrets(password, credentials, token.value)
            return token
        names = " or ".join(f"/{dialect.name}" for dialect in self._dialects)
        detail = f"no login at {names}: not a vCenter, or the wrong dialect"
        return answer._replace(outcome=Outcome.FAILED, detail=detail)

    def _hide_secrets(self, *secrets: str) -> None:
        """Hide these secrets, and the former token, in all answers from now on."""
        former = () if self._token is None else (self._token.value,)
        self.exchange.secrets = Secrets((*secrets, *former))


def _is_refusal(reply: Reply) -> bool:
    """Whether the vCenter refused the credentials: a 403 may also come from a proxy."""
    if reply.status != 403:
        return reply.status == 401
    return not reply.body.strip() or bool(read_refusal(reply.body).type)
