"""Every command line that README and docs print is executed, or says why it is not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from keepalived.cli.main import main
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.held import Lab, lab
from tests.support.printed import (
    HOW_TO,
    NOT_RUN,
    PAGES,
    ROOT,
    RUN,
    RUN_UNTIL_READY,
    blocks,
    commands,
)
from tests.support.programs import needs

MARKS = 27
"""The blocks that no test executes. Each has its reason above it; a new one is a decision."""
SHELLS = frozenset({"sh", "bash", "console", "shell", "zsh", "powershell"})
HERE = [page for page in PAGES if page.parent != HOW_TO and commands(page)]
TESTS = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
STAYING = [
    (page, text) for page in PAGES for mark, _, text in blocks(page) if mark == RUN_UNTIL_READY
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def has_commands(language: str, text: str) -> bool:
    """Whether a block is for a shell, or is YAML that runs programs."""
    runs = language == "yaml" and re.search(r"^\s*(- )?(command|args|run|shell|tasks):", text, re.M)
    return language in SHELLS or bool(runs)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_block_of_commands_is_executed_or_marked(page: Path) -> None:
    found = blocks(page)
    assert len(found) == len(re.findall(r"^ *```\w", page.read_text(), re.M))
    for mark, language, text in found:
        if not has_commands(language, text) or mark.startswith(NOT_RUN):
            continue
        assert mark, text
        if mark == RUN and page.parent == HOW_TO:
            assert f'commands("{page.name}")' in TESTS
        elif mark not in (RUN, RUN_UNTIL_READY):
            assert f'"{mark}"' in TESTS or f'"<!-- {mark.partition(",")[0]}' in TESTS, mark


def test_the_blocks_that_are_not_executed_are_few_and_name_tests_that_exist() -> None:
    marks = [mark for page in PAGES for mark, _, _ in blocks(page) if mark.startswith(NOT_RUN)]
    assert len(marks) == MARKS
    named = {name for mark in marks for name in re.findall(r"tests/\S+\.py", mark)}
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_output_is_not_taken_for_a_command(page: Path) -> None:
    plain = re.findall(
        r"^```\n(.*?)^```$", re.sub(r"(?ms)^```\w.*?^```$", "", page.read_text()), re.M | re.S
    )
    assert not any(
        re.match(r"(\$|clkeepalived|curl|govc|make) ", line)
        for text in plain
        for line in text.splitlines()
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_prose_and_blocks_have_the_options_that_they_name(page: Path) -> None:
    texts = re.findall(r"`(clkeepalived [^`\n]+)`", page.read_text())
    shells = [text for _, language, text in blocks(page) if language in SHELLS]
    texts += re.findall(r"^ *(clkeepalived .+)", "\n".join(shells), re.MULTILINE)
    for text in texts:
        words = text.partition("#")[0].partition(" -- ")[0].split()[1:]
        if not re.fullmatch("[a-z][a-z-]+", words[0]):
            continue
        command = main.get_command(click.Context(main), words[0])
        assert command is not None, text
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        named = {word.partition("=")[0].strip("[],;)") for word in words if word.startswith("--")}
        assert named - {"--", "--help"} <= known, text


@pytest.mark.parametrize("drawing", sorted((ROOT / "docs").glob("**/*.svg")), ids=name_of)
def test_each_drawing_is_well_formed_and_has_a_title(drawing: Path) -> None:
    title = ElementTree.parse(drawing).find("{http://www.w3.org/2000/svg}title")  # noqa: S314 - ours
    assert title is not None
    assert title.text


@dataclass(frozen=True)
class Place:
    """A folder with a configuration, beside a simulated vCenter and its daemon."""

    vcenter: Lab
    folder: Path
    environ: dict[str, str]

    def fitted(self, text: str) -> str:
        """Return a block with this place's paths and addresses for the printed ones."""
        for printed, here in (
            ("/etc/clkeepalived/config.yaml", str(self.folder / "clkeepalived.yaml")),
            ("/run/clkeepalived/", f"{self.folder}/run/"),
            ("http://127.0.0.1:8080", self.vcenter.url),
            ("127.0.0.1:8080", "127.0.0.1:0"),
        ):
            text = text.replace(printed, here)
        return text

    def run(self, text: str) -> None:
        """Type a block, which has to succeed."""
        ran = subprocess.run(
            ["sh", "-eu", "-c", self.fitted(text)],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    shutil.copy(ROOT / "config/prometheus/clkeepalived.rules.yml", tmp_path)
    (tmp_path / "run").mkdir()
    with lab(session_timeout=300.0, with_admin=True) as vcenter:
        held, named = vcenter.open(), vcenter.open()
        user = vcenter.credentials()
        account = {"username": user["username"], "password_env": PASSWORD_VARIABLE}
        settings = {
            "vcenters": {"lab": {"url": vcenter.url, **account}},
            "sessions": [{"id": held}],
            "session_files": [f"{tmp_path}/run/*.yaml"],
            "control": {"socket": f"{tmp_path}/control.sock"},
            "state": {"path": f"{tmp_path}/state.db"},
            "http": {"listen": "127.0.0.1:0"},
        }
        (tmp_path / "clkeepalived.yaml").write_text(json.dumps(settings))
        environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CLKEEPALIVED_SOCKET": f"{tmp_path}/control.sock",
            PASSWORD_VARIABLE: user["password"],
            "GOVC_URL": vcenter.url,
            "GOVC_USERNAME": user["username"],
            "GOVC_PASSWORD": user["password"],
            "ID": held,
            "session": named,
        }
        yield Place(vcenter, tmp_path, environ)


@needs("curl")
@pytest.mark.parametrize("page", HERE, ids=name_of)
async def test_the_blocks_of_a_page_run_as_printed(page: Path, place: Place) -> None:
    async with serving(
        place.folder / "clkeepalived.yaml", place.environ[PASSWORD_VARIABLE]
    ) as daemon:
        await daemon.event("first_renewal", session_id=place.environ["ID"])
        for text in commands(page):
            await asyncio.to_thread(place.run, text)
        if page.name == "containers.md":
            await daemon.event("first_renewal", session_id=place.environ["session"])
    if page.name == "monitoring.md":
        assert "https://wiki.example/" in (place.folder / "clkeepalived.rules.yml").read_text()


@pytest.mark.parametrize(("page", "text"), STAYING, ids=lambda value: getattr(value, "name", ""))
def test_a_block_that_stays_runs_as_printed_until_it_is_ready(
    page: Path, text: str, place: Place
) -> None:
    last = shlex.split(text.splitlines()[-1], comments=True)[1]
    ready = {"serve": "ready", "simulate": '"url"'}[last]
    process = subprocess.Popen(
        ["sh", "-eu", "-c", place.fitted(text)],
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if ready in line:
                break
        os.killpg(process.pid, signal.SIGTERM)
        rest = process.stdout.read()
    assert ready in said[-1], f"{page}: {said}"
    assert "Traceback" not in rest
