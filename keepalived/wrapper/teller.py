"""What the engine has to say, told to whoever watches a wrapped command."""

from __future__ import annotations

from collections.abc import Callable

from keepalived.keeper.observer import SessionEnd
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Owner
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.lease.timing import is_at_risk
from keepalived.lease.words import duration, printable
from keepalived.wrapper.claims import name_of

Say = Callable[[str], None]


class Teller:
    """An observer that says in a line what somebody at the terminal should know, and no more.

    `find` looks a session up. `on_ended` hears of every end, and `on_token_refused` of every
    session whose lent token the vCenter refused.
    """

    def __init__(
        self,
        say: Say,
        find: Callable[[SessionKey], Session | None],
        on_ended: Callable[[SessionEnd], None],
        on_token_refused: Callable[[], None],
    ) -> None:
        self.trouble: str | None = None
        """What keeps the vCenter from being reached at present, for the progress bar."""
        self._say = say
        self._find = find
        self._on_ended = on_ended
        self._on_token_refused = on_token_refused
        self._in_danger: set[SessionKey] = set()
        self._last_login = "ok"

    def hold_taken(self, key: SessionKey, source: str) -> None:
        """Say nothing: whoever takes the hold knows why."""

    def hold_released(self, key: SessionKey, source: str) -> None:
        """Say nothing, likewise."""

    def keep_alive_answered(self, key: SessionKey, outcome: Outcome, seconds: float) -> None:
        """Say nothing: what it means follows."""

    def attempt_started(self, vcenter: str, lag: float) -> None:
        """Say nothing."""

    def lifetime_learned(
        self,
        key: SessionKey,
        before: float,
        after: float,
        *,
        configured: float | None = None,
        clock_ahead: float | None = None,
    ) -> None:
        """Say nothing: the summary names it."""

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """Warn."""
        when = "" if left is None else f"; it may expire in {duration(left)}"
        words = "keep-alives are answered, but have no effect on the server"
        self._say(f"warning: {self._name(key)}: {words}{when}")

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """Give the all-clear after a warning."""
        if key in self._in_danger:
            self._in_danger.discard(key)
            self._say(f"{self._name(key)} was renewed again")

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """Warn once a session is in danger, with how much time is left."""
        session = self._find(key)
        if session is None or key in self._in_danger:
            return
        if slack is None or is_at_risk(slack, session.lifetime):
            self._in_danger.add(key)
            left = "" if slack is None else f"; {duration(slack)} left"
            self._say(f"warning: {self._name(key)} cannot be renewed: {printable(detail)}{left}")

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """Pass the server's message on."""
        why = printable(file.error_message or "the server does not say why")
        self._say(f"{self._name(key)}: the file {printable(file.name)} failed: {why}")

    def stalled(self, key: SessionKey, idle: float) -> None:
        """Warn."""
        self._say(f"warning: {self._name(key)}: no bytes have moved for {duration(idle)}")

    def moving(self, key: SessionKey) -> None:
        """Give the all-clear."""
        self._say(f"{self._name(key)}: bytes move again")

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """Pass it on: whoever knows whose token it is says so, once."""
        self._on_token_refused()

    def session_ended(self, end: SessionEnd) -> None:
        """Say at once what was lost; the rest can wait for the summary."""
        if end.state.is_failure:
            why = end.error_message or end.reason
            self._say(f"{self._name(end.key)} was lost: {end.state}, {printable(why)}")
        self._on_ended(end)

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Warn."""
        self.trouble = printable(detail or outcome.value)
        self._say(f"warning: {vcenter} does not answer: {self.trouble}; trying again")

    def vcenter_up(self, vcenter: str, down_seconds: float) -> None:
        """Give the all-clear."""
        self.trouble = None
        self._say(f"{vcenter} answers again, after {duration(down_seconds)}")

    def login(self, vcenter: str, outcome: str) -> None:
        """Say that the credentials are refused, once."""
        if outcome == "refused" != self._last_login:
            self._say(f"warning: {vcenter} refuses the credentials")
        self._last_login = outcome

    def source_failed(self, source: str, problems: tuple[str, ...]) -> None:
        """Say nothing: there are no sources here."""

    def source_recovered(self, source: str) -> None:
        """Say nothing."""

    def _name(self, key: SessionKey) -> str:
        session = self._find(key)
        return printable(key.id if session is None else name_of(session))
