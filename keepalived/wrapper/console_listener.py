"""Prints the events that matter to the user of a wrapped command, as lines on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keepalived.lease import events
from keepalived.lease.events import Event
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.lease.text import duration, printable
from keepalived.lease.timing import is_at_risk
from keepalived.wrapper.ownership import name_of


@dataclass(eq=False, slots=True)
class ConsoleListener:
    """A listener that prints a line for each event that a user at the terminal has to know.

    `find` looks a session up. `on_ended` is called for every end, and `on_token_refused` for every
    session whose lent token the vCenter refused.
    """

    say: Callable[[str], None]
    find: Callable[[SessionKey], Session | None]
    on_ended: Callable[[events.SessionEnd], None]
    on_token_refused: Callable[[], None]
    trouble: str | None = field(default=None, init=False)
    """Why the vCenter cannot be reached at present, for the progress bar."""
    _in_danger: set[SessionKey] = field(default_factory=set, init=False)
    _last_login: str = field(default="ok", init=False)

    def notify(self, event: Event) -> None:
        """Print a line about an event that a user has to know."""
        say = self.say
        match event:
            case events.Renewed(key):
                if key in self._in_danger:
                    self._in_danger.discard(key)
                    say(f"{self._name(key)} was renewed again")
            case events.RenewalFailed(key, _, detail, _, slack, lifetime):
                is_new = key not in self._in_danger and self.find(key) is not None
                if is_new and (slack is None or is_at_risk(slack, lifetime)):
                    self._in_danger.add(key)
                    left = "" if slack is None else f"; {duration(slack)} left"
                    say(f"warning: {self._name(key)} cannot be renewed: {printable(detail)}{left}")
            case events.RenewalWithoutEffect(key, left):
                when = "" if left is None else f"; it may expire in {duration(left)}"
                effect = "keep-alives are answered, but have no effect on the server"
                say(f"warning: {self._name(key)}: {effect}{when}")
            case events.FileFailed(key, file):
                why = printable(file.error_message or "the server gives no reason")
                say(f"{self._name(key)}: the file {printable(file.name)} failed: {why}")
            case events.SessionStalled(key, idle):
                say(f"warning: {self._name(key)}: no bytes have moved for {duration(idle)}")
            case events.SessionMoving(key):
                say(f"{self._name(key)}: bytes are moving again")
            case events.TokenRefused():
                self.on_token_refused()
            case events.SessionEnd(key, state, reason, error_message):
                # Losses are reported at once; the other ends can wait for the summary.
                if state.is_failure:
                    why = printable(error_message or reason)
                    say(f"{self._name(key)} was lost: {state}, {why}")
                self.on_ended(event)
            case events.VCenterDown(vcenter, outcome, detail):
                self.trouble = printable(detail or outcome.value)
                say(f"warning: {vcenter} does not answer: {self.trouble}; retrying")
            case events.VCenterUp(vcenter, down_seconds):
                self.trouble = None
                say(f"{vcenter} answers again, after {duration(down_seconds)}")
            case events.LoginTried(vcenter, outcome):
                if outcome == "refused" != self._last_login:
                    say(f"warning: {vcenter} refuses the credentials")
                self._last_login = outcome

    def _name(self, key: SessionKey) -> str:
        session = self.find(key)
        return printable(key.id if session is None else name_of(session))
