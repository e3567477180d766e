"""The whole configuration: validated and frozen, defaults filled in, every duration in seconds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
    """The least important log events that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class HttpSettings(Strict):
    """Where metrics, health and the status page are served."""

    listen: Annotated[str, After(values.listen)] = "127.0.0.1:9878"
    """HOST:PORT; an IPv6 address stands in brackets, port 0 means any that is free."""

    page: bool = True
    """Whether the status page is served at `/`. It names libraries, items, and shows notes."""


class ControlSettings(Strict):
    """Where uploaders tell of their sessions, and who may."""

    socket: FilePath = Path("/run/clkeepalived/control.sock")
    """The control socket. Left out, it is done without where its folder is not there."""

    socket_group: Name = "clkeepalived"
    """The group whose members may connect. Left out, it is done without where there is none."""

    admin_group: Name | None = None
    """The group whose members see and do all, beside root and the daemon's own user."""


class StateSettings(Strict):
    """Where holds and deadlines are kept, so that they outlive the process."""

    path: FilePath = Path("/var/lib/clkeepalived/state.db")
    """The state file. Left out, it is done without where its folder is not there."""


class MetricsSettings(Strict):
    """What is exported."""

    max_sessions: Annotated[int, Range(least=0)] = 1000
    """The most sessions with series of their own. Those at risk have them beyond that."""

    session_labels: bool = True
    """Whether single sessions have series at all. Without, no id, library or item is exported."""


class LogSettings(Strict):
    """What is logged, and how."""

    format: LogFormat = LogFormat.AUTO
    """`json`, `console`, `journal` (entries with fields), or `auto`: the journal under systemd,
    colours on a terminal, JSON elsewhere."""

    level: LogLevel = LogLevel.INFO
    """The least important events that are logged."""


class RetentionSettings(Strict):
    """How long an ended session stays visible."""

    ended: Duration = 3600.0
    """Those that ended well, or were let go."""

    failed: Duration = 604800.0
    """Those that were lost."""


def _pattern_in_folder(pattern: str, folder: Path | None) -> str:
    return str(in_folder(Path(pattern), folder))


_FilePattern = Annotated[str, InContext(_pattern_in_folder)]


class Settings(Strict):
    """The whole configuration of clkeepalived."""

    vcenters: Annotated[
        dict[Annotated[str, After(values.vcenter_name)], VCenterSettings],
        Length(least=1),
    ]
    """The vCenters, each under the name that it has in logs and metrics."""

    sessions: tuple[SessionEntry, ...] = ()
    """The sessions to keep alive."""

    session_files: Annotated[tuple[_FilePattern, ...], Before(tuple_of_one)] = ()
    """Further files with `sessions:`; patterns with * and ** may match any number of them."""

    stall_timeout: PositiveDuration = 7200.0
    """How long a session that was discovered is held while its transfer stands still. A quarter
    of it is worth a warning, for any session."""

    persist_tokens: bool = True
    """Whether API tokens that uploaders lend are kept in the state file, over a restart."""

    exit_when_idle: PositiveDuration | None = None
    """End, with 0, once nothing has been held for this long, counted from the start as well."""

    control: ControlSettings = ControlSettings()
    """Where uploaders tell of their sessions, and who may."""

    state: StateSettings = StateSettings()
    """Where holds and deadlines are kept, so that they outlive the process."""

    http: HttpSettings = HttpSettings()
    """Where metrics, health and the status page are served."""

    metrics: MetricsSettings = MetricsSettings()
    """What is exported."""

    log: LogSettings = LogSettings()
    """What is logged, and how."""

    retention: RetentionSettings = RetentionSettings()
    """How long an ended session stays visible."""
