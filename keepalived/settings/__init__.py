"""Reads the configuration, from YAML or govc's environment, into frozen settings."""

from keepalived.settings.discover import Discover
from keepalived.settings.loader import (
    DEFAULT_PATH,
    Loaded,
    Reloaded,
    load_environment,
    load_settings,
)
from keepalived.settings.models import (
    ControlSettings,
    HttpSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    MetricsSettings,
    RetentionSettings,
    Settings,
    StateSettings,
)
from keepalived.settings.problems import ConfigError, Problem
from keepalived.settings.sessions import (
    SessionEntry,
    SessionFile,
    SessionOptions,
    read_sessions,
    session_key,
)
from keepalived.settings.vcenters import Dialect, Observe, Representation, VCenterSettings

__all__ = [
    "DEFAULT_PATH",
    "ConfigError",
    "ControlSettings",
    "Dialect",
    "Discover",
    "HttpSettings",
    "Loaded",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "MetricsSettings",
    "Observe",
    "Problem",
    "Reloaded",
    "Representation",
    "RetentionSettings",
    "SessionEntry",
    "SessionFile",
    "SessionOptions",
    "Settings",
    "StateSettings",
    "VCenterSettings",
    "load_environment",
    "load_settings",
    "read_sessions",
    "session_key",
]
