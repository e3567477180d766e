"""Arbitrary configurations and session files: errors name the file and the problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keepalived.settings import ConfigError, load_settings
from keepalived.settings.sessions import SessionFile, parse_sessions
from tests.fuzz.damage import EXAMPLES, SECRET, damaged, fuzzed, objects, values

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

VCENTERS = ("lab", "prod")
ENVIRON = {"LAB_PASSWORD": SECRET}

names = st.sampled_from(["lab", "prod", "elsewhere"])
counts = st.integers(0, 100)
entries = objects(
    {
        "id": st.sampled_from(["a:b", "session-1", "session-2", "..", "a/b"]),
        "vcenter": names,
        "kind": st.sampled_from(["update", "download"]),
        "progress": counts,
        "bytes_done": counts,
        "bytes_total": counts,
        "max_lifetime": st.sampled_from(["1d", "5", 7]),
        "note": st.text(max_size=9),
        "path": st.just("/dev/null"),
        "token_file": st.just("/dev/null"),
    }
)
vcenters = objects(
    {
        "url": st.sampled_from(
            ["https://vc.example", f"https://user:{SECRET}@vc.example/sdk", "http://[::1]:80", "vc"]
        ),
        "username": st.just("uploader"),
        "password_env": st.sampled_from(["LAB_PASSWORD", SECRET]),
        "password": st.just(SECRET),
        "dialect": st.sampled_from(["api", "rest", "auto"]),
        "session_timeout": st.sampled_from(["5m", 300, "5 m"]),
        "fingerprints": st.just(["AB" * 32]),
        "proxy": st.just(f"http://user:{SECRET}@proxy.example:3128"),
        "discover": st.booleans() | st.just({"libraries": ["isos"]}),
    }
)
configurations = objects(
    {
        "vcenters": st.dictionaries(names, vcenters, min_size=1, max_size=2),
        "sessions": st.lists(entries, max_size=3),
        "session_files": st.just(["*.yaml"]),
        "control": st.just({"socket": "/run/c.sock"}),
        "http": st.just({"listen": "[::1]:0"}),
        "log": st.just({"format": "json"}),
        "retention": st.just({"ended": "1h"}),
    }
)


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode()


def check_words(error: ConfigError, file: str) -> None:
    """Check that each problem is one printable line that names the file and contains no secret."""
    assert error.problems
    for problem in error.problems:
        words = str(problem)
        assert words.startswith(file)
        assert words.isprintable()
        assert len(words) > len(file) + 2
        assert SECRET not in words
        assert problem.line is None or problem.line > 0


@given(damaged(configurations.map(as_yaml) | st.binary(max_size=60)))
@fuzzed
def test_any_configuration_loads_or_says_what_is_wrong(content: bytes) -> None:
    # Not tmp_path: the examples would share it, and its name is longer than the messages.
    path = Path("/dev/shm/clkeepalived-fuzz.yaml")  # noqa: S108 - overwritten by every example
    path.write_bytes(content)
    try:
        loaded = load_settings(path, ENVIRON)
    except ConfigError as error:
        check_words(error, str(path))
    else:
        assert loaded.settings.vcenters
        assert SECRET not in "".join(loaded.warnings)
        assert SECRET not in repr(loaded.settings)
    finally:
        path.unlink()


def read(content: bytes) -> SessionFile | None:
    try:
        found = parse_sessions("s.yaml", content, VCENTERS)
    except ConfigError as error:
        check_words(error, "s.yaml")
        return None
    if found.problems:
        check_words(ConfigError(found.problems), "s.yaml")
    return found


@given(
    damaged(
        st.fixed_dictionaries({"sessions": st.lists(entries, max_size=4)}).map(as_yaml)
        | values.map(as_yaml)
        | st.binary(max_size=60)
    )
)
@fuzzed
def test_any_session_file_is_read_or_says_what_is_wrong(content: bytes) -> None:
    read(content)


@given(st.lists(entries | values, max_size=5), st.integers(0, 5))
@fuzzed
def test_whatever_stands_beside_it_a_good_entry_is_held(beside: list[Any], place: int) -> None:
    good = {"id": "the-good-one", "vcenter": "lab", "progress": 10}
    listed = [*beside[:place], good, *beside[place:]]
    found = read(as_yaml({"sessions": listed}))
    assert found is not None
    assert "the-good-one" in {key.id for key, _ in found.entries}
