"""The model of the whole configuration, with its defaults and all durations in seconds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from keepalived.lease.stalls import STALL_TIMEOUT
from keepalived.settings import values
from keepalived.settings.base import (
    Duration,
    FilePath,
    Name,
    PositiveDuration,
    Strict,
    in_folder,
    tuple_of_one,
)
from keepalived.settings.sessions import SessionEntry
from keepalived.settings.vcenters import VCenterSettings
from keepalived.validation import After, Before, InContext, Length, Range


class LogFormat(StrEnum):
    """How log events are written."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"
    JOURNAL = "journal"


class LogLevel(StrEnum):
    """The lowest level of log events that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class HttpSettings(Strict):
    """Where metrics, health and the status page are served."""

    listen: Annotated[str, After(values.listen)] = "127.0.0.1:9878"
    """HOST:PORT. An IPv6 address goes in brackets; port 0 means any free port."""

    page: bool = True
    """Whether the status page is served at `/`. It shows libraries, items and notes."""


class ControlSettings(Strict):
    """The control socket, where uploaders register sessions, and who may use it."""

    socket: FilePath = Path("/run/clkeepalived/control.sock")
    """Path of the control socket. If the default folder does not exist, there is no socket."""

    socket_group: Name = "clkeepalived"
    """Group whose members may connect. If the default group does not exist, it is ignored."""

    admin_group: Name | None = None
    """Group whose members see and do everything, like root and the daemon's own user."""


class StateSettings(Strict):
    """Where holds and deadlines are stored, so that they survive a restart."""

    path: FilePath = Path("/var/lib/clkeepalived/state.db")
    """Path of the state file. If the default folder does not exist, no state is stored."""


class MetricsSettings(Strict):
    """Which metrics are exported."""

    max_sessions: Annotated[int, Range(least=0)] = 1000
    """How many sessions get their own series. Sessions at risk get them beyond this limit."""

    session_labels: bool = True
    """Whether sessions get their own series. If false, no id, library or item is exported."""


class LogSettings(Strict):
    """What is logged, and in which format."""

    format: LogFormat = LogFormat.AUTO
    """`json`, `console`, `journal` (entries with fields), or `auto`: the journal under systemd,
    a coloured console on a terminal, JSON elsewhere."""

    level: LogLevel = LogLevel.INFO
    """The lowest level of events that are logged."""


class RetentionSettings(Strict):
    """How long ended sessions stay visible."""

    ended: Duration = 3600.0
    """Sessions that ended well or were released."""

    failed: Duration = 604800.0
    """Sessions that were lost."""


def _pattern_in_folder(pattern: str, folder: Path | None) -> str:
    return str(in_folder(Path(pattern), folder))


_FilePattern = Annotated[str, InContext(_pattern_in_folder)]


class Settings(Strict):
    """The whole configuration of clkeepalived."""

    vcenters: Annotated[
        dict[Annotated[str, After(values.vcenter_name)], VCenterSettings],
        Length(least=1),
    ]
    """The vCenters, by the names that logs and metrics use for them."""

    sessions: tuple[SessionEntry, ...] = ()
    """The sessions to keep alive."""

    session_files: Annotated[tuple[_FilePattern, ...], Before(tuple_of_one)] = ()
    """More files with `sessions:`. Patterns with * and ** may match any number of files."""

    stall_timeout: PositiveDuration = STALL_TIMEOUT
    """How long a discovered session is held without transfer progress. A stall of a quarter of
    this time causes a warning, for any session."""

    persist_tokens: bool = True
    """Whether API tokens lent by uploaders are stored in the state file, to survive a restart."""

    exit_when_idle: PositiveDuration | None = None
    """Exit with status 0 once nothing has been held for this long, including after the start."""

    control: ControlSettings = ControlSettings()
    """The control socket, where uploaders register sessions, and who may use it."""

    state: StateSettings = StateSettings()
    """Where holds and deadlines are stored, so that they survive a restart."""

    http: HttpSettings = HttpSettings()
    """Where metrics, health and the status page are served."""

    metrics: MetricsSettings = MetricsSettings()
    """Which metrics are exported."""

    log: LogSettings = LogSettings()
    """What is logged, and in which format."""

    retention: RetentionSettings = RetentionSettings()
    """How long ended sessions stay visible."""
