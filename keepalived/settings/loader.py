"""Loads settings from a file or from govc's environment, and reports all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from keepalived.host.files import readable_path
from keepalived.host.gc_tuning import gc_paused
from keepalived.settings import checks, environment, files
from keepalived.settings.construct import Flaw
from keepalived.settings.document import Document, parse
from keepalived.settings.messages import problems_of
from keepalived.settings.models import Settings
from keepalived.settings.problems import ConfigError, Problem
from keepalived.settings.sessions import SessionFile, check_sessions
from keepalived.validation import Invalid, validate
from keepalived.validation.problems import kind_of

DEFAULT_PATH = Path("/etc/clkeepalived/config.yaml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings, their warnings, and the file that they came from.

    `path` is None if there is no file to read again: for the environment or a pipe.
    """

    settings: Settings
    warnings: tuple[str, ...] = ()
    path: Path | None = None


class Reloaded(NamedTuple):
    """The result of a reload: whether the new configuration took effect, and what was refused."""

    applied: bool
    problems: tuple[str, ...] = ()


def load_settings(path: Path | None, environ: Mapping[str, str], *, pipes: bool = True) -> Loaded:
    """Read the configuration at `path`. Raises ConfigError with all problems.

    `pipes` allows a pipe; a daemon that reads the configuration again must not wait for one.
    Without a path, read the default file or, if it does not exist, GOVC_URL and related variables
    in `environ`.
    """
    if path is None and not DEFAULT_PATH.exists():
        if not environ.get("GOVC_URL"):
            message = (
                "there is no such file; create it, name another one with --config, or set GOVC_URL"
            )
            raise ConfigError([Problem(str(DEFAULT_PATH), None, "", message)])
        return load_environment(environ)
    path = path or DEFAULT_PATH
    try:
        content, _ = files.read(str(path), pipes=pipes)
        with gc_paused():
            document = parse(str(path), content)
            settings = _validated(document, path)
        return _checked(settings, environ, path, document)
    except ConfigError:
        raise
    except Exception as error:
        raise _unexpected(str(path), error) from None


def load_environment(environ: Mapping[str, str]) -> Loaded:
    """Return settings with the one vCenter that GOVC_URL and related variables describe.

    Raises ConfigError with all problems. GOVC_URL must be set.
    """
    try:
        settings, warnings = environment.settings_from_environment(environ)
        loaded = _checked(settings, environ, None, None)
    except ConfigError:
        raise
    except Exception as error:
        raise _unexpected(environment.SOURCE, error) from None
    return replace(loaded, warnings=(*map(str, warnings), *loaded.warnings))


def _unexpected(source: str, error: Exception) -> ConfigError:
    """Return the error for an unexpected exception, whose own text may contain a value."""
    message = f"cannot be read because of an unexpected {type(error).__name__}; please report it"
    return ConfigError([Problem(source, None, "", message)])


def _validated(document: Document, path: Path) -> Settings:
    data = document.data
    if data is None:
        message = "the file is empty; it needs at least `vcenters:` with one vCenter"
        raise ConfigError([Problem(document.file, None, "", message)])
    if not isinstance(data, dict) and document.flaws:
        raise ConfigError([document.flaw_problem(flaw) for flaw in document.flaws])
    if not isinstance(data, dict):
        message = (
            f"contains {kind_of(data)}; a configuration is a mapping that begins with `vcenters:`"
        )
        raise ConfigError([document.problem((), message)])
    problems = [document.flaw_problem(flaw) for flaw in document.flaws if not _is_in_an_entry(flaw)]
    rest = {key: value for key, value in data.items() if key != "sessions"}
    settings = None
    try:
        settings = validate(Settings, rest, path.absolute().parent)
    except Invalid as error:
        problems += problems_of(error, document)
        problems = problems or [
            document.problem((), "an alias ('*') refers to a value that cannot be read")
        ]
    sessions = SessionFile()
    try:
        sessions = check_sessions(document, data.get("sessions"), _names(data.get("vcenters")))
        problems += sessions.problems
    except ConfigError as error:
        problems += [problem for problem in error.problems if problem not in problems]
    if problems or settings is None:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    return settings.replace(sessions=tuple(entry for _, entry in sessions.entries))


def _is_in_an_entry(flaw: Flaw) -> bool:
    """Whether `check_sessions` reports this flaw, too."""
    return len(flaw.path) > 1 and flaw.path[0] == "sessions" and isinstance(flaw.path[1], int)


def _names(vcenters: object) -> tuple[str, ...]:
    return tuple(map(str, vcenters)) if isinstance(vcenters, dict) else ()


def _checked(
    settings: Settings,
    environ: Mapping[str, str],
    path: Path | None,
    document: Document | None,
) -> Loaded:
    def located(remarks: Iterable[checks.Remark]) -> list[Problem]:
        if document is None:
            return [environment.problem_of(at, message) for at, message in remarks]
        return [document.problem(at, message) for at, message in remarks]

    unusable = located(checks.unusable(settings, environ))
    if unusable:
        raise ConfigError(unusable)
    warnings = tuple(str(problem) for problem in located(checks.risky(settings, environ)))
    if path is not None and (message := checks.stale(path)):
        warnings = (f"{readable_path(path)} {message}", *warnings)
    return Loaded(settings, warnings, path if path is not None and path.is_file() else None)
