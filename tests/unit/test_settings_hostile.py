"""Values that YAML can say and nobody should believe: each is refused at its place, alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from keepalived.settings import ConfigError, load_settings
from keepalived.settings.document import parse
from keepalived.settings.sessions import SessionFile, parse_sessions

VCENTERS = ("lab",)
NO_TAG = "put a value that begins with '!' in quotes; YAML tags are not supported here"


def read(entry: str) -> SessionFile:
    """Read a file with a good entry, another one in one line, and a good one after it."""
    content = f"sessions:\n- {{id: before}}\n- {{id: bad, {entry}}}\n- {{id: after}}\n"
    return parse_sessions("s.yaml", content.encode("utf-8", "surrogatepass"), VCENTERS)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("path: ~nobody-of-this-name/x", "path: '~' cannot be expanded: there is no user"),
        ('path: "a\\0b"', "path: contains a NUL character, which is not allowed in a path"),
        ('token_file: "a\\0b"', "token_file: contains a NUL character"),
        ("note: !!bool x", "note: is tagged !!bool, but is neither true nor false"),
        ("note: !!int x", "note: is tagged !!int, but is not a whole number"),
        ("note: !!float 1:30", "note: is tagged !!float, but is not a number"),
        ("note: !!null x", "note: is tagged !!null, but is not empty"),
        ("note: !!timestamp x", f"note: {NO_TAG}"),
        ("note: !!binary '=='", f"note: {NO_TAG}"),
        ("note: !!python/object/apply:os.abort []", f"note: {NO_TAG}"),
        ("note: !!set {a, b}", f"note: {NO_TAG}"),
        ("note: !!omap [a: 1]", f"note: {NO_TAG}"),
        ("note: !!seq x", f"note: {NO_TAG}"),
        ("note: !own x", f"note: {NO_TAG}"),
        ("null: x", "null: this key is not known"),
        ("~: x", "~: this key is not known"),
        ("1.5: x", "1.5: this key is not known"),
        ("true: x", "true: this key is not known"),
        ("no: x", "no: this key is not known"),
        ("? [a]\n  : x", "a list or a mapping cannot be a key"),
        (f"max_lifetime: {'9' * 400}", "max_lifetime: is a number of 400 digits"),
        (f"max_lifetime: '{'9' * 400}d'", "max_lifetime: '9"),
        ("max_lifetime: 1e300d", "max_lifetime: '1e300d' is not a duration"),
        ("max_lifetime: 1.0e+300", "max_lifetime: a duration is at most 36525d"),
        ("max_lifetime: 40000d", "max_lifetime: a duration is at most 36525d"),
        ("max_lifetime: .inf", "max_lifetime: inf is not a duration"),
        ("max_lifetime: .nan", "max_lifetime: nan is not a duration"),
        ("max_lifetime: 1:30", "max_lifetime: '1:30' is not a duration; write for example 90s"),
        ("progress: 010", "progress: must be a whole number, not '010'"),
        ("progress: 1:30", "progress: must be a whole number, not '1:30'"),
        (f"progress: {'9' * 5000}", "progress: is a number of 5000 digits"),
        (f"bytes_done: {2**63}", f"bytes_done: must be at most {2**63 - 1}"),
        ("<<: 5", "<<: must be a mapping or a list of mappings"),
        ("note: &a [*a]", "note[0]: an alias ('*') is inside the value that it refers to"),
    ],
)
def test_a_bad_entry_is_named_and_its_neighbours_are_held(entry: str, said: str) -> None:
    found = read(entry)
    assert [key.id for key, _ in found.entries] == ["before", "after"]
    words = [str(problem) for problem in found.problems]
    assert any(
        each.startswith(f"s.yaml:{problem.line}: sessions[1]")
        for each, problem in zip(words, found.problems, strict=True)
    ), words
    assert any(said in each for each in words), words
    assert found.doubtful_ids == {"bad"}


@pytest.mark.parametrize(
    ("entry", "value"),
    [("note: 12:05", "12:05"), ("note: yes", "yes"), ("note: 010", "010"), ("note: OFF", "OFF")],
)
def test_what_yaml_1_1_takes_for_numbers_and_switches_stays_text(entry: str, value: str) -> None:
    found = read(entry)
    assert found.problems == ()
    assert found.entries[1][1].note == value


def test_ids_of_digits_and_colons_are_ids() -> None:
    content = b"sessions: [{id: 190:30}, {id: 0o17:1}]"
    found = parse_sessions("s.yaml", content, VCENTERS)
    assert [key.id for key, _ in found.entries] == ["190:30", "0o17:1"]


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Y", "n"])
def test_switches_are_true_or_false(word: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"vcenters:\n  lab:\n    url: https://lab\n    insecure: {word}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    (problem,) = caught.value.problems
    assert str(problem) == f"{path}:4: vcenters.lab.insecure: must be true or false, not '{word}'"


def test_half_a_character_is_no_text() -> None:
    # libyaml refuses the escape itself; a loader without it does not.
    with pytest.raises(ConfigError, match=r"s\.yaml:3: "):
        read('note: "\\ud800"')


def test_lines_that_stand_for_billions_are_refused_at_once() -> None:
    lines = ["sessions:", "- {id: good}", "- id: bad", "  note: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"- {{id: b{n}, note: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)
    ]
    start = time.process_time()
    found = parse_sessions("s.yaml", "\n".join(lines).encode(), VCENTERS)
    assert time.process_time() - start < 20
    assert [key.id for key, _ in found.entries] == ["good"]
    assert any("aliases" in str(problem) for problem in found.problems)


def test_an_alias_to_what_cannot_be_read_is_a_problem_of_its_own_entry() -> None:
    content = b"sessions:\n- {id: a, note: &n !!set {x}}\n- {id: b, note: *n}\n- {id: c}\n"
    found = parse_sessions("s.yaml", content, VCENTERS)
    assert [key.id for key, _ in found.entries] == ["c"]
    assert [problem.line for problem in found.problems] == [2, 3]


def test_an_entry_with_very_many_faults_does_not_take_long() -> None:
    keys = ", ".join(f"k{number}: 1" for number in range(50_000))
    start = time.process_time()
    found = read(keys)
    assert time.process_time() - start < 60
    assert [key.id for key, _ in found.entries] == ["before", "after"]
    assert len(found.problems) < 50


@pytest.mark.parametrize(
    "content",
    [
        "vcenters: {lab: {url: https://lab, ca_file: ~nobody-of-this-name/ca}}",
        'vcenters: {lab: {url: https://lab, ca_file: "a\\0b"}}',
        'vcenters: {lab: {url: https://lab}}\nsession_files: ["a\\0*"]',
        'vcenters: {lab: {url: https://lab}}\nstate: {path: "a\\0"}',
        f"vcenters: {{lab: {{url: https://lab, max_in_flight: {'9' * 4999}}}}}",
        f"vcenters: {{lab: {{url: https://lab, session_timeout: {'9' * 400}}}}}",
        "vcenters: {lab: {url: https://lab}}\n? {a: b}\n: c",
        "vcenters: {lab: {url: https://lab}}\nnull: c",
        "vcenters: !!set {lab}",
        "!!python/name:os.abort x",
        "vcenters: {lab: {url: https://lab, username: !!int x}}",
        "&a [*a, *a]",
        "vcenters: {lab: &l {url: https://lab, discover: {libraries: *l}}}",
        'vcenters: {"\\0": {url: https://lab}}',
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused_with_its_place(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert all(problem.line for problem in caught.value.problems)
    assert not any("report" in str(problem) for problem in caught.value.problems)


def test_a_file_that_was_replaced_behind_its_mount_is_warned_of(tmp_path: Path) -> None:
    config, password = tmp_path / "c.yaml", tmp_path / "password"
    password.write_text("open sesame")
    password.chmod(0o600)
    with password.open() as secret:
        # What /proc leads to is there and has no name, as the old file in such a mount.
        mounted = f"/proc/self/fd/{secret.fileno()}"
        lab = f"{{url: 'https://lab', username: u, password_file: {mounted}}}"
        config.write_text(f"vcenters: {{lab: {lab}}}\n")
        assert load_settings(config, {}).warnings == ()
        password.unlink()
        with config.open() as open_config:
            config.unlink()
            path = Path(f"/proc/self/fd/{open_config.fileno()}")
            warnings = load_settings(path, {}).warnings
    assert [each.partition(" was removed or replaced")[0] for each in warnings] == [
        str(path),
        f"{path}:1: vcenters.lab.password_file: {mounted}",
    ]


def test_of_many_problems_the_first_are_said_and_the_others_counted() -> None:
    content = b"sessions:\n- {id: good}\n" + b"- 1\n" * 50_000 + b"- {id: bad, x: 1}\n"
    found = parse_sessions("s.yaml", content, VCENTERS)
    assert [key.id for key, _ in found.entries] == ["good"]
    assert len(found.problems) == 201
    assert str(found.problems[-1]) == "s.yaml: 49801 more problems"
    assert "bad" in found.doubtful_ids


def test_of_many_unknown_keys_the_first_are_said_and_the_others_counted() -> None:
    content = b"sessions: [{id: good}]\n" + b"".join(b"k%d: 1\n" % i for i in range(100))
    found = parse_sessions("s.yaml", content, VCENTERS)
    assert [key.id for key, _ in found.entries] == ["good"]
    assert len(found.problems) == 21
    assert str(found.problems[-1]) == "s.yaml: 80 more unknown keys"


def test_a_file_of_very_many_values_is_refused_before_they_are_in_memory() -> None:
    content = b"sessions: [" + b"1," * 1_000_000 + b"1]"
    with pytest.raises(
        ConfigError, match="has more than 1,000,000 values; split the sessions into"
    ):
        parse_sessions("s.yaml", content, VCENTERS)


def test_an_entry_of_very_many_keys_is_one_problem() -> None:
    keys = ", ".join(f"k{number}: 1" for number in range(200))
    found = read(keys)
    assert [key.id for key, _ in found.entries] == ["before", "after"]
    assert [problem.message for problem in found.problems] == [
        "has 201 keys; a session has at most ten"
    ]
    assert found.doubtful_ids == {"bad"}


def test_a_document_is_dropped_to_its_leaves() -> None:
    document = parse("s.yaml", b"a: &x [{b: [1, 2]}, 3]\nc: *x\n")
    inner = document.data["a"][0]  # type: ignore[index]  # what stands there
    document.drop()
    assert document.data == {}
    assert inner == {}
