"""Users of the simulated vCenter, and their API tokens with an idle limit and an age limit."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from keepalived.simulator.errors import ApiError, ErrorType


@dataclass(frozen=True, slots=True)
class User:
    """A user who may log in; a read-only user lacks every privilege."""

    name: str
    password: str = field(repr=False)
    read_only: bool = False


@dataclass(slots=True)
class ServerLogin:
    """An API session. `alias` replaces the token where that must not appear."""

    user: User
    alias: str
    created_at: float
    last_used_at: float


class Logins:
    """Tokens with an idle limit, which each call extends, and an absolute limit.

    Both limits are in seconds and may be changed at any time.
    """

    def __init__(self, clock: Callable[[], float], *, idle_timeout: float, max_age: float) -> None:
        self.idle_timeout = idle_timeout
        self.max_age = max_age
        self._clock = clock
        self._users: dict[str, User] = {}
        self._tokens: dict[str, ServerLogin] = {}
        self._count = 0

    def add_user(self, name: str, password: str, *, read_only: bool = False) -> None:
        """Add a user, or replace the user of the same name."""
        self._users[name] = User(name, password, read_only)

    def log_in(self, name: str, password: str) -> str:
        """Return a new token. Raises ApiError (UNAUTHENTICATED) for wrong credentials."""
        user = self._users.get(name)
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            raise _unauthenticated("Invalid credentials.")
        now = self._clock()
        self._count += 1
        token = secrets.token_hex(16)
        self._tokens[token] = ServerLogin(user, f"{name}#{self._count}", now, now)
        return token

    def peek(self, token: str) -> ServerLogin | None:
        """Return the login of a token, valid or not, without using it."""
        return self._tokens.get(token)

    def authenticate(self, token: str) -> ServerLogin:
        """Use a token. Raises ApiError (UNAUTHENTICATED) if it is unknown or too old."""
        login = self._tokens.get(token)
        now = self._clock()
        if login is None:
            raise _unauthenticated("The request carries no valid session id.")
        if now >= min(login.last_used_at + self.idle_timeout, login.created_at + self.max_age):
            del self._tokens[token]
            raise _unauthenticated("The session has expired.")
        login.last_used_at = now
        return login

    def log_out(self, token: str) -> None:
        """Make a token invalid."""
        self._tokens.pop(token, None)

    def forget_all(self) -> None:
        """Make every token invalid, as a restart may do."""
        self._tokens.clear()


def basic_credentials(header: str) -> tuple[str, str]:
    """Return user name and password of a Basic authorization header.

    Raises ApiError (UNAUTHENTICATED) for any other header.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise _unauthenticated("Authentication required.")
    try:
        name, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        separator = ""
    if not separator:
        raise _unauthenticated("The authorization header is malformed.")
    return name, password


def _unauthenticated(message: str) -> ApiError:
    return ApiError(ErrorType.UNAUTHENTICATED, message)
