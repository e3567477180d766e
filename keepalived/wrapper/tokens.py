"""Keep the wrapped command's own API session alive, with its token where that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keepalived.host.clock import Clock, sleep_until
from keepalived.keeper.ports import VCenter
from keepalived.lease.answers import Outcome
from keepalived.lease.holds import LentToken

_REFRESHES_PER_LIFETIME = 2
"""An API session expires after half an hour idle by default, an update session after five minutes:
refreshing both equally often is enough, and needs no setting."""

_UNKNOWN = "warning: the command's API session is not kept alive: its token is unknown"


@dataclass(frozen=True, slots=True)
class Source:
    """A source of tokens. `name` describes the API session that the token belongs to.

    `read` returns the present token, or None. `is_commands_own` is whether it is certainly the one
    that the command uses.
    """

    name: str
    read: Callable[[], str | None]
    is_commands_own: bool


class Lent:
    """The token that is lent at present; its source is read again while there is none."""

    def __init__(self, source: Source | None, clock: Clock, say: Callable[[str], None]) -> None:
        self.token = source.read() if source else None
        """None without a working token."""
        self._source = source
        self._clock = clock
        self._say = say
        self._refused: set[str] = set()
        self._was_lent = self.token is not None

    @property
    def token_to_lend(self) -> LentToken | None:
        """The token in the form that a hold carries."""
        return None if self.token is None else LentToken(self.token)

    def refuse(self) -> None:
        """Record that the vCenter no longer accepts the token."""
        if self.token is None or self._source is None:
            return
        self._refused.add(self.token)
        self.token = None
        if self._source.is_commands_own:
            self._say(
                f"warning: {self._source.name} has ended (401): calls with its token fail until "
                "there is a new one; until then, sessions are renewed with other credentials, if "
                "they are known"
            )
        else:  # of an earlier run, as a rule: govc logs in anew by itself
            self._say(
                f"{self._source.name} has ended; it is looked at again once govc has logged in"
            )

    async def run(
        self, vcenter: VCenter, lifetime: float, timeout: float, lend: Callable[[], None]
    ) -> None:
        """Refresh the token even while no session carries it, or read its source for one.

        `lend` is called when a token was found. Runs until cancelled.
        """
        pause = lifetime / _REFRESHES_PER_LIFETIME
        refreshed = self._clock.boot()
        while True:
            await sleep_until(self._clock, self._clock.boot() + min(pause, 5.0))
            if self.token is None:
                found = self._source.read() if self._source else None
                if found is not None and found not in self._refused:
                    self.token, self._was_lent = found, True
                    self._say(self._kept_alive())
                    lend()
            elif self._clock.boot() - refreshed >= pause:
                refreshed = self._clock.boot()
                answer = await vcenter.who_am_i(timeout=timeout, token=self.token)
                if answer.outcome is Outcome.UNAUTHENTICATED:
                    self.refuse()

    def say_at_start(self) -> None:
        """Print whether the API session is kept alive, before anything depends on it."""
        if self.token is not None:
            self._say(self._kept_alive())
        elif self._source is None:
            self._say(f"{_UNKNOWN} (see --token-file)")
        elif not self._refused:  # a refusal was reported already
            self._say(f"{_UNKNOWN}; {self._source.name} is used as soon as it exists")

    def say_at_end(self) -> None:
        """Print a line at the end if the API session was not kept alive, or only for a time."""
        if not self._was_lent:
            self._say("the command's API session was not kept alive: its token was unknown")
        elif self.token is None and self._source is not None:
            self._say(f"{self._source.name} ended before the command did")

    def _kept_alive(self) -> str:
        assert self._source is not None  # noqa: S101 - a token came from somewhere
        text = f"{self._source.name} is kept alive"
        return text if self._source.is_commands_own else f"{text}; other API sessions are not"
