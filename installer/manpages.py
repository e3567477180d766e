"""Write the manual pages from the program itself: `python installer/manpages.py FOLDER`.

clkeepalived(1) is made from the commands and their options, clkeepalived.yaml(5) from the settings,
so that both always match the program.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import roff

from keepalived.cli.main import main
from keepalived.settings import DEFAULT_PATH, Settings
from keepalived.settings.durations import format_duration
from keepalived.validation.json_schema import schema_of

PROGRAM = "clkeepalived"
_MANUAL = "Content Library Keep-alive"

_EXIT_CODES = (
    ("0", "Success. For `serve`: stopped by a signal, or idle for the configured time."),
    ("1", "Failure. For `serve`: a socket or the state file cannot be used."),
    ("2", "The command line is invalid."),
    ("69", "The daemon cannot be reached, or, for `exec` and `probe`, the vCenter cannot be used."),
    ("78", "The configuration is invalid. systemd does not restart the service."),
)
_SIGNALS = (
    ("SIGTERM, SIGINT", "Renew the sessions once more, log out and exit. Twice: exit at once."),
    ("SIGHUP", "Reload the configuration."),
)
_FILES = (
    (str(DEFAULT_PATH), f"The configuration, see `{PROGRAM}.yaml`(5)."),
    ("/etc/clkeepalived/sessions.d/*.yaml", "Session files, with the example configuration."),
    (
        "/etc/clkeepalived/credentials/",
        "Passwords that systemd passes to the service, one per file.",
    ),
    ("/run/clkeepalived/control.sock", "The control socket."),
    ("/var/lib/clkeepalived/state.db", "Holds and deadlines."),
)
_ENVIRONMENT = (
    ("CLKEEPALIVED_CONFIG", "The configuration file, as `--config`."),
    ("CLKEEPALIVED_SOCKET", "The control socket, as `--socket`."),
    ("GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD", "The vCenter, if there is no configuration."),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "Proxies for connections to vCenter."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS", "Set by systemd for its services."),
)


def command_page(version: str) -> str:
    """Return clkeepalived(1)."""
    context = click.Context(main, info_name=PROGRAM)
    commands = [
        _command(name, command, context)
        for name in main.list_commands(context)
        if (command := main.get_command(context, name)) is not None and not command.hidden
    ]
    return "".join(
        (
            roff.header(PROGRAM, 1, f"{PROGRAM} {version}", _MANUAL),
            roff.section("NAME", f"{PROGRAM} \\- {roff.escape(_summary(main))}\n"),
            roff.section(
                "SYNOPSIS", f".B {PROGRAM}\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n"
            ),
            roff.section("DESCRIPTION", roff.paragraph(main.help or "")),
            roff.section("COMMANDS", *commands),
            roff.section("EXIT STATUS", roff.definitions(_EXIT_CODES)),
            roff.section("SIGNALS", roff.definitions(_SIGNALS)),
            roff.section("FILES", roff.definitions(_FILES)),
            roff.section("ENVIRONMENT", roff.definitions(_ENVIRONMENT)),
            roff.section("SEE ALSO", f".BR {PROGRAM}.yaml (5),\n.BR systemctl (1)\n"),
        )
    )


def _command(name: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    options = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
    ]
    return roff.subsection(
        f"{PROGRAM} {name} {usage}", *_help(command.help or ""), roff.definitions(options)
    )


def _help(text: str) -> Iterator[str]:
    """Yield the paragraphs of a command's help; click marks preformatted ones by \\b."""
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith("\b\n"):
            yield roff.example(block[2:])
        elif block.strip():
            yield roff.paragraph(block)


def _summary(command: click.Command) -> str:
    return (command.help or "").split("\n")[0].rstrip(".").replace("Keep ", "keep ", 1)


def settings_page(version: str) -> str:
    """Return clkeepalived.yaml(5)."""
    schema = schema_of(Settings)
    return "".join(
        (
            roff.header(f"{PROGRAM}.yaml", 5, f"{PROGRAM} {version}", _MANUAL),
            roff.section(
                "NAME", f"{PROGRAM}.yaml \\- {roff.escape('configuration of ' + PROGRAM)}\n"
            ),
            roff.section("SYNOPSIS", roff.definitions([(str(DEFAULT_PATH), "")])),
            roff.section(
                "DESCRIPTION",
                roff.paragraph(
                    f"YAML. Unknown keys are refused; `{PROGRAM} check-config` names each mistake "
                    "with its line. Durations are written 90s, 5m, 1h30m, 7d, or as plain "
                    "seconds. Relative paths are relative to the folder of the file. The daemon "
                    "checks `sessions:` and the session files every two seconds; all other "
                    "settings need a reload."
                ),
            ),
            roff.section(
                "EXAMPLE",
                roff.example(
                    "vcenters:\n"
                    "  lab:\n"
                    "    url: https://vcsa.lab.example\n"
                    "    username: uploader@vsphere.local\n"
                    "    credential: vcenter_lab    # /etc/clkeepalived/credentials/lab\n"
                    "session_files:\n"
                    "  - /etc/clkeepalived/sessions.d/*.yaml"
                ),
            ),
            roff.section("SETTINGS", *_settings(schema, schema["$defs"])),
            roff.section("SEE ALSO", f".BR {PROGRAM} (1)\n"),
        )
    )


def _settings(
    schema: dict[str, Any], models: dict[str, Any], above: str = "", about: str = ""
) -> Iterator[str]:
    """Yield the plain keys of one level, then a part for each key with nested keys.

    `above` is the path of that level, such as `vcenters: NAME:`, and `about` its description.
    """
    plain: list[tuple[str, str]] = []
    parts: list[str] = []
    for name, field in schema["properties"].items():
        form, model = _below(name, field, models)
        if model is None or "anyOf" in field:
            plain.append(_definition(name, field, models))
        if model is not None:
            description = field.get("description") or model.get("description", "")
            parts += _settings(model, models, f"{above} {form}".strip(), description)
    rows = roff.definitions(plain)
    yield roff.subsection(above, roff.paragraph(about), rows) if above else rows
    yield from parts


def _below(
    name: str, field: dict[str, Any], models: dict[str, Any]
) -> tuple[str, dict[str, Any] | None]:
    """Return how a key with nested keys is written, and their model."""
    for form, place in (
        (f"{name}:", field),
        (f"{name}: NAME:", field.get("additionalProperties")),
        (f"{name}: list of", field.get("items")),
        *((f"{name}:", each) for each in field.get("anyOf", ())),
    ):
        if isinstance(place, dict) and "$ref" in place:
            model = models[place["$ref"].rsplit("/", 1)[-1]]
            if "properties" in model:
                return form, model
    return name, None


def _definition(name: str, field: dict[str, Any], models: dict[str, Any]) -> tuple[str, str]:
    kind = _kind(field, models)
    default = field.get("default")
    told = ""
    if kind == "duration" and isinstance(default, int | float):
        told = f" Default: {format_duration(float(default))}."
    elif default not in (None, "", []):
        told = f" Default: {str(default).lower() if isinstance(default, bool) else default}."
    return f"{name}: {kind}", field.get("description", "") + told


def _kind(field: dict[str, Any], models: dict[str, Any]) -> str:
    """Return the type of a value in a few words."""
    if "$ref" in field:
        return _kind(models[field["$ref"].rsplit("/", 1)[-1]], models)
    if "properties" in field:
        return "keys, see below"
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if "anyOf" in field:
        kinds = [each for each in field["anyOf"] if each.get("type") != "null"]
        if any("pattern" in each and each.get("type") == "string" for each in kinds):
            words = [str(each["const"]) for each in kinds if "const" in each]
            return " | ".join([*words, "duration"])
        return " | ".join(_kind(each, models) for each in kinds)
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], models)}"
    if field.get("format") == "path":
        return "path"
    return {"string": "text", "integer": "number", "boolean": "true | false"}.get(
        field.get("type", ""), str(field.get("type", "value"))
    )


def write(folder: Path) -> None:
    """Write both pages into a folder."""
    version = importlib.metadata.version("content-library-keepalived")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{PROGRAM}.1").write_text(command_page(version), encoding="utf-8")
    (folder / f"{PROGRAM}.yaml.5").write_text(settings_page(version), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
