"""`discover:`, and what goes with it: what can be said, what it means, and what is advised."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived.settings import ConfigError, Discover, Settings, load_settings, read_sessions

LAB = """\
vcenters:
  lab:
    url: https://vcsa.lab.example
    username: uploader@vsphere.local
    password_env: LAB_PASSWORD
"""


def load(folder: Path, text: str) -> tuple[Settings, list[str]]:
    """The settings in a configuration, and the warnings without its path."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load_settings(path, {"LAB_PASSWORD": "x"})
    return loaded.settings, [each.removeprefix(f"{path}:") for each in loaded.warnings]


def errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return [str(each).partition("config.yaml:")[2] for each in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", None),
        ("discover:", None),
        ("discover: false", None),
        ("discover: true", Discover()),
        ("discover: {}", Discover()),
        ("discover: {libraries: isos}", Discover(libraries=("isos",))),
        (
            "discover: {libraries: [isos, 'prod-*'], items: ['*.iso']}",
            Discover(libraries=("isos", "prod-*"), items=("*.iso",)),
        ),
    ],
)
def test_off_on_or_by_filters(tmp_path: Path, line: str, meant: Discover | None) -> None:
    settings, warnings = load(tmp_path, f"{LAB}    {line}\n")
    assert settings.vcenters["lab"].discover == meant
    assert warnings == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "discover: always",
            "discover: must be true, false, or filters such as {libraries: [isos], "
            "items: ['*.iso']}, not 'always'",
        ),
        ("discover: {library: a}", "discover.library: this key is not known; did you mean "),
        ("discover: {items: []}", "discover.items: must not be empty"),
        ("discover: {items: [x, '']}", "discover.items[1]: must not be empty"),
        (
            "discover: {items: 5}",
            "discover.items: must be a list ('- …'), not a number",
        ),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, line: str, said: str) -> None:
    (problem,) = errors(tmp_path, f"{LAB}    {line}\n")
    assert problem.startswith(f"6: vcenters.lab.{said}")


@pytest.mark.parametrize(
    ("filters", "library", "item", "taken"),
    [
        (Discover(), None, None, True),
        (Discover(libraries=("isos", "prod-*")), "prod-7", None, True),
        (Discover(libraries=("isos", "prod-*")), "preprod-7", None, False),
        (Discover(libraries=("isos",)), "ISOs", "a.iso", False),
        (Discover(libraries=("isos",)), None, "a.iso", False),
        (Discover(items=("*.iso",)), "anywhere", "debian.iso", True),
        (Discover(items=("*.iso",)), "anywhere", "debian.ova", False),
        (Discover(libraries=("isos",), items=("*.iso",)), "isos", "debian.iso", True),
        (Discover(libraries=("isos",), items=("*.iso",)), "isos", "debian.ova", False),
        (Discover(libraries=("isos",), items=("*.iso",)), "ovas", "debian.iso", False),
    ],
)
def test_filters(filters: Discover, library: str | None, item: str | None, taken: bool) -> None:
    assert filters.takes(library, item) is taken


def test_defaults_beside_discovery(tmp_path: Path) -> None:
    settings, _ = load(tmp_path, LAB)
    assert (settings.stall_timeout, settings.persist_tokens) == (7200.0, True)


def test_patience_and_tokens_can_be_set(tmp_path: Path) -> None:
    settings, _ = load(tmp_path, f"{LAB}stall_timeout: 45m\npersist_tokens: false\n")
    assert (settings.stall_timeout, settings.persist_tokens) == (2700.0, False)


def test_values_that_cannot_be(tmp_path: Path) -> None:
    text = f"{LAB}stall_timeout: 0\npersist_tokens: 1\n"
    assert errors(tmp_path, text) == [
        "6: stall_timeout: must be longer than 0s",
        "7: persist_tokens: must be true or false, not 1",
    ]


def test_a_stall_timeout_that_hardly_lets_anybody_pause_is_warned_of(tmp_path: Path) -> None:
    text = f"{LAB}    discover: true\nstall_timeout: 9m\n"
    assert load(tmp_path, text)[1] == [
        "7: stall_timeout: 9m is short for sessions that live for 5m: a paused upload "
        "looks abandoned; the default is 2h"
    ]
    assert load(tmp_path, text.replace("9m", "10m"))[1] == []
    assert load(tmp_path, text.replace("true", "false"))[1] == []


def test_discovery_without_an_account_is_warned_of(tmp_path: Path) -> None:
    text = "vcenters:\n  lab:\n    url: https://x\n    discover: true\n"
    _, (missing, useless) = load(tmp_path, text)
    assert missing.startswith("2: vcenters.lab.username: is missing: without a login")
    assert useless == (
        "4: vcenters.lab.discover: finds nothing without `username`: sessions are listed per "
        "account"
    )


def test_a_token_file_is_looked_at(tmp_path: Path) -> None:
    token = tmp_path / "api.token"
    text = f"{LAB}sessions:\n  - {{id: a, token_file: api.token}}\n"
    settings, warnings = load(tmp_path, text)
    assert settings.sessions[0].token_file == token
    assert warnings == [
        f"7: sessions[0].token_file: {token}: there is no such file; until then the vCenter's "
        "own credentials are used"
    ]
    token.write_text("secret-token\n", encoding="utf-8")
    token.chmod(0o644)
    assert load(tmp_path, text)[1] == [
        f"7: sessions[0].token_file: {token} can be read by every user; chmod 600 (or 640) it"
    ]
    token.chmod(0o640)
    assert load(tmp_path, text)[1] == []


def test_paths_in_a_session_file_count_from_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "sessions.d"
    folder.mkdir()
    file = folder / "a.yaml"
    file.write_text(
        "sessions: [{id: a, path: iso/a.iso, token_file: ../t, bytes_done: 5}]", encoding="utf-8"
    )
    ((_, entry),) = read_sessions(file, ("lab",)).entries
    assert entry.path == folder / "iso" / "a.iso"
    assert entry.token_file == folder / ".." / "t"
