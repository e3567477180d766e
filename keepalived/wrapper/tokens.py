"""The uploader's own API token: borrowed if it is found, reported if it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keepalived.host.clock import Clock, sleep_until
from keepalived.keeper.ports import VCenter
from keepalived.lease.answers import Outcome
from keepalived.lease.holds import LentToken

_REFRESHES_PER_LIFETIME = 2
"""An API session expires after half an hour idle by default, an update session after five minutes:
refreshing both equally often is plenty, and saves a setting."""

_UNKNOWN = (
    "the command's own API session cannot be kept fresh, as its token is not known here: a call "
    "after a long transfer may be answered by 401. Lend it by --token-file, or let govc cache it"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A place where a token may be found: its name for people, and a function that looks there.

    `look` returns the present token, or None. `is_commands_own` says whether it is certainly the
    one that the command uses.
    """

    name: str
    look: Callable[[], str | None]
    is_commands_own: bool


class Lent:
    """The token that is lent at present; looked for while there is none."""

    def __init__(self, source: Source | None, clock: Clock, say: Callable[[str], None]) -> None:
        self.token = source.look() if source else None
        """None without a working token."""
        self._source = source
        self._clock = clock
        self._say = say
        self._refused: set[str] = set()
        self._was_lent = self.token is not None

    @property
    def borrowed(self) -> LentToken | None:
        """The token in the form that a hold carries."""
        return None if self.token is None else LentToken(self.token)

    def refuse(self) -> None:
        """Record that the vCenter no longer accepts the token."""
        if self.token is None or self._source is None:
            return
        self._refused.add(self.token)
        self.token = None
        self._say(
            f"warning: the API session of {self._source.name} has ended (401): what uses it next "
            "fails; update sessions are renewed otherwise where credentials are known"
        )

    async def run(
        self, vcenter: VCenter, lifetime: float, timeout: float, lend: Callable[[], None]
    ) -> None:
        """Keep the token fresh even while no session carries it, or look for one.

        `lend` is called when a token was found. Runs until cancelled.
        """
        pause = lifetime / _REFRESHES_PER_LIFETIME
        refreshed = self._clock.boot()
        while True:
            await sleep_until(self._clock, self._clock.boot() + min(pause, 5.0))
            if self.token is None:
                found = self._source.look() if self._source else None
                if found is not None and found not in self._refused:
                    self.token, self._was_lent = found, True
                    self._say(self._words())
                    lend()
            elif self._clock.boot() - refreshed >= pause:
                refreshed = self._clock.boot()
                answer = await vcenter.who_am_i(timeout=timeout, token=self.token)
                if answer.outcome is Outcome.UNAUTHENTICATED:
                    self.refuse()

    def say_at_start(self) -> None:
        """Print whether the API session is kept fresh, before anything depends on it."""
        if self.token is not None:
            self._say(self._words())
        elif self._source is None:
            self._say(_UNKNOWN)
        elif not self._refused:  # a refusal was reported already
            self._say(f"{_UNKNOWN}; {self._source.name} holds none so far, and is looked at again")

    def say_at_end(self) -> None:
        """Print a line at the end if the API session was not kept fresh, or not certainly."""
        if not self._was_lent:
            self._say("the command's own API session was not kept fresh: its token was not known")
        elif self.token is None and self._source is not None:
            self._say(f"the API session of {self._source.name} ended before the command did")

    def _words(self) -> str:
        assert self._source is not None  # noqa: S101 - a token came from somewhere
        words = f"the API session of {self._source.name} is kept fresh"
        return words if self._source.is_commands_own else f"{words}; any other is not"
