"""Completion in a real bash, with session ids from the daemon; other shells by what they ask."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cli import COMMAND, run, surroundings
from tests.support.control import Control, caller, running_control

IDS = ("815994e5-0f31:9c7e16e9-6f3a", "815994e5-0f31:11111111-6f3a", "f00d:beef")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    async with running_control(tmp_path) as control:
        for each in IDS:
            control.simulators["lab"].open_session(session_id=each)
            async with caller(control) as me:
                put = await me.put(f"/v1/sessions/lab/{each}", {"owner": None})
                assert put.status == 201
        yield control


async def tab(socket: Path, tmp_path: Path, *words: str) -> list[str]:
    """Press TAB at the end of the last of the words of a command line in bash."""
    bin_path = tmp_path / "bin"
    bin_path.mkdir(exist_ok=True)
    program = bin_path / "clkeepalived"
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "completion.bash"
    if not script.exists():
        script.write_text((await run(socket, "completion", "bash")).out)
    # What bash does when TAB is pressed: words come taken apart at COMP_WORDBREAKS.
    code = f"""
        source {script}
        COMP_WORDS=("${{@:2}}") COMP_CWORD=$1
        COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        _clkeepalived {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", code, "bash", str(len(words) - 1), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=surroundings(socket),
    )
    out, err = await process.communicate()
    assert err == b""
    return sorted(filter(None, out.decode().splitlines()))


@pytest.mark.extended
@needs_bash
async def test_bash_completes_commands_and_options(control: Control, tmp_path: Path) -> None:
    assert await tab(control.path, tmp_path, "clkeepalived", "re") == ["release", "reload", "renew"]
    options = await tab(control.path, tmp_path, "clkeepalived", "hold", "--no")
    assert options == ["--no-owner", "--note"]
    kinds = await tab(control.path, tmp_path, "clkeepalived", "hold", "--kind", "d")
    assert kinds == ["download"]


@needs_bash
async def test_bash_completes_ids_that_have_colons(control: Control, tmp_path: Path) -> None:
    start = await tab(control.path, tmp_path, "clkeepalived", "release", "")
    assert start == sorted(IDS)
    first = await tab(control.path, tmp_path, "clkeepalived", "release", "815")
    assert first == sorted(IDS[:2])
    # Behind the colon bash keeps what it has, and wants the rest alone.
    colon = await tab(control.path, tmp_path, "clkeepalived", "status", "815994e5-0f31", ":")
    assert colon == ["11111111-6f3a", "9c7e16e9-6f3a"]
    behind = ("815994e5-0f31", ":", "9c")
    assert await tab(control.path, tmp_path, "clkeepalived", "status", *behind) == ["9c7e16e9-6f3a"]


@pytest.mark.extended
@needs_bash
async def test_without_a_daemon_there_is_nothing_to_complete_and_no_noise(tmp_path: Path) -> None:
    assert await tab(tmp_path / "none.sock", tmp_path, "clkeepalived", "status", "8") == []


@pytest.mark.extended
@pytest.mark.parametrize(
    ("shell", "current", "answer"),
    [("zsh", "2", "plain\nf00d\\:beef\n"), ("fish", "f00", "plain,f00d:beef\t")],
)
async def test_other_shells_are_answered_as_well(
    control: Control, shell: str, current: str, answer: str
) -> None:
    script = await run(control.path, "completion", shell)
    assert script.code == 0
    assert f"_CLKEEPALIVED_COMPLETE={shell}_complete" in script.out
    asked = {
        "_CLKEEPALIVED_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "clkeepalived status f00",
        "COMP_CWORD": current,
    }
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdout=asyncio.subprocess.PIPE, env=surroundings(control.path, **asked)
    )
    out, _ = await process.communicate()
    assert out.decode().startswith(answer)
