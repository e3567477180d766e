"""A command under `exec`: terminal, stops, signals and ends, on real processes and terminals."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from keepalived.host.clock import SystemClock
from keepalived.wrapper.child import running
from keepalived.wrapper.command import CommandError, check
from tests.support.pty import INTERRUPT, SUSPEND, Pty, pty, shell, state_of, until
from tests.support.timeouts import TIMEOUT_SECONDS

RUNNER = (sys.executable, "-m", "tests.support.child_runner")
SLEEPS = "echo begun; exec sleep 600"
"""What is to be stopped does not fork: a shell that is caught within vfork() cannot stop."""


class Notes:
    """What a runner writes down."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notes"

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def of(self, word: str) -> list[list[str]]:
        return [words for line in self.lines if (words := line.split())[0] == word]

    async def first(self, word: str, count: int = 1) -> list[str]:
        """Wait for the first (second, …) line of a kind, and return its further words."""
        await until(lambda: len(self.of(word)) >= count, lambda: f"{word} in {self.lines}")
        return self.of(word)[count - 1][1:]

    async def in_front(self, terminal: Pty) -> tuple[int, int]:
        """Wait until the command has said `begun` and has the terminal; return both pids."""
        await terminal.shows("begun")
        runner, command = await self.pids()
        await until(lambda: terminal.foreground() == command)
        return runner, command

    async def pids(self) -> tuple[int, int]:
        """Return whom signals are sent to: the runner and the command."""
        words = await self.first("started")
        return int(words[0]), int(words[1])


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


def line(notes: Notes, *argv: str) -> str:
    """Return a shell's command line that runs a command under the runner."""
    return shlex.join([*RUNNER, str(notes.path), *argv])


@asynccontextmanager
async def started(notes: Notes, *argv: str, **how: Any) -> AsyncIterator[Process]:
    """Start a runner without a terminal, in a session of its own."""
    process = await asyncio.create_subprocess_exec(
        *RUNNER,
        str(notes.path),
        *argv,
        **{"stdin": PIPE, "stdout": PIPE, "start_new_session": True, **how},
    )
    try:
        yield process
    finally:
        for words in notes.of("started"):
            with suppress(ProcessLookupError):
                os.killpg(int(words[1]), signal.SIGKILL)
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ran(notes: Notes, *argv: str, stdin: str = "", **how: Any) -> tuple[int | None, str]:
    """Run a command under the runner to its end; return the exit code and what it wrote."""
    async with started(notes, *argv, **how) as process, asyncio.timeout(TIMEOUT_SECONDS):
        out, _ = await process.communicate(stdin.encode())
        return process.returncode, out.decode()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# On a terminal


async def test_ctrl_c_ends_the_command_and_not_us(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        await notes.in_front(terminal)
        terminal.type(INTERRUPT)
        assert await notes.first("ended") == ["130", "True"]
        await terminal.run("echo code=$?")
        await terminal.shows("code=130")
        assert terminal.foreground() == terminal.leader.pid


async def test_a_command_that_survives_ctrl_c_is_waited_for(notes: Notes) -> None:
    script = "trap 'trap - INT; echo once' INT; echo begun; while :; do sleep 0.02; done"
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", script))
        await notes.in_front(terminal)
        terminal.type(INTERRUPT)
        await terminal.shows("once")
        terminal.type(INTERRUPT)
        assert await notes.first("ended") == ["130", "True"]


@pytest.mark.parametrize("program", ["bash", "dash"])
async def test_ctrl_z_stops_both_and_fg_continues_both(notes: Notes, program: str) -> None:
    async with shell(program) as terminal:
        await terminal.run(line(notes, "sh", "-c", "echo begun; read word; echo got $word"))
        runner, command = await notes.in_front(terminal)
        terminal.type(SUSPEND)
        await terminal.run("jobs")
        await terminal.shows("Stopped")
        assert (state_of(runner), state_of(command)) == ("T", "T")
        assert notes.lines[-1] == "stopped", "said before we stopped"
        assert terminal.foreground() == terminal.leader.pid

        await terminal.run("fg")
        is_in_foreground, gap = await notes.first("continued")
        assert is_in_foreground == "True"
        assert float(gap) > 0
        assert terminal.foreground() == command
        terminal.type("hello\n")
        await terminal.shows("got hello")

        assert await notes.first("ended") == ["0", "True"]
        await terminal.run("echo code=$?")
        await terminal.shows("code=0")


async def test_it_can_be_stopped_again_and_again(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        await notes.in_front(terminal)
        for count in range(1, 4):
            terminal.type(SUSPEND)
            await terminal.run("fg")
            await notes.first("continued", count)
        terminal.type(INTERRUPT)
        assert await notes.first("ended") == ["130", "True"]
        assert len(notes.of("stopped")) == 3


async def test_bg_continues_the_command_without_the_terminal(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        _, command = await notes.in_front(terminal)
        terminal.type(SUSPEND)
        await terminal.run("bg")
        assert (await notes.first("continued"))[0] == "False"
        await until(lambda: state_of(command) == "S")
        assert terminal.foreground() == terminal.leader.pid
        os.kill(command, signal.SIGTERM)
        assert await notes.first("ended") == ["143", "False"]
        assert terminal.foreground() == terminal.leader.pid


async def test_in_the_background_it_does_not_grab_the_terminal(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", "echo begun; read word; echo got $word") + " &")
        assert (await notes.first("started"))[2] == "False"
        await terminal.shows("begun")
        await notes.first("stopped")  # it reads the terminal, which is not its
        runner, command = await notes.pids()
        await until(lambda: (state_of(runner), state_of(command)) == ("T", "T"))
        assert terminal.foreground() == terminal.leader.pid
        terminal.type("fg\n")
        assert (await notes.first("continued"))[0] == "True"
        terminal.type("hello\n")
        await terminal.shows("got hello")
        assert await notes.first("ended") == ["0", "True"]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
async def test_a_command_stopped_by_somebody_else_stops_us(
    notes: Notes, number: signal.Signals
) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        runner, command = await notes.in_front(terminal)
        os.kill(command, number)
        await terminal.run("fg")
        await notes.first("continued")
        await until(lambda: (state_of(runner), state_of(command)) == ("S", "S"))
        assert terminal.foreground() == command


async def test_sigtstp_to_us_stops_the_command(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        runner, command = await notes.in_front(terminal)
        os.kill(runner, signal.SIGTSTP)
        await until(lambda: (state_of(runner), state_of(command)) == ("T", "T"))
        await terminal.run("fg")
        await notes.first("continued")
        await until(lambda: state_of(command) == "S")


async def test_sigcont_to_a_stopped_command_alone_is_noticed_once_we_go_on(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        runner, command = await notes.in_front(terminal)
        terminal.type(SUSPEND)
        await until(lambda: (state_of(runner), state_of(command)) == ("T", "T"))
        os.kill(command, signal.SIGCONT)
        await until(lambda: state_of(command) == "S")
        await terminal.run("fg")
        await notes.first("continued")
        terminal.type(INTERRUPT)
        assert await notes.first("ended") == ["130", "True"]


@asynccontextmanager
async def suspended(notes: Notes) -> AsyncIterator[Pty]:
    """Run a command that sleeps in a shell, and press Ctrl-Z."""
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS))
        await notes.in_front(terminal)
        terminal.type(SUSPEND)
        yield terminal


async def test_a_command_killed_while_stopped(notes: Notes) -> None:
    async with suspended(notes) as terminal:
        runner, command = await notes.pids()
        await until(lambda: state_of(runner) == "T")
        os.kill(command, signal.SIGKILL)
        await terminal.run("fg")
        await notes.first("continued")
        assert await notes.first("ended") == ["137", "True"]


async def test_the_shells_kill_ends_a_stopped_job(notes: Notes) -> None:
    async with suspended(notes) as terminal:
        await terminal.run("kill %1")
        assert await notes.first("ended") == ["143", "False"]


async def test_a_new_size_reaches_the_command(notes: Notes) -> None:
    script = "trap 'stty size' WINCH; echo begun; while :; do sleep 0.02; done"
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", script))
        await notes.in_front(terminal)
        terminal.resize(100, 31)
        await terminal.shows("31 100")


async def test_standard_input_from_a_pipe_on_a_terminal(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run("echo from the pipe | " + line(notes, "sed", "s/^/got /"))
        await terminal.shows("got from the pipe")
        assert (await notes.first("ended"))[0] == "0"


async def test_a_pager_at_the_other_end_keeps_its_keyboard(notes: Notes) -> None:
    pager = "read line; echo $line; read key </dev/tty; echo pressed $key"
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS) + " | sh -c " + shlex.quote(pager))
        await terminal.shows("begun")
        terminal.type("q\n")
        await terminal.shows("pressed q")


async def test_a_pager_that_is_stopped_stops_the_command(notes: Notes, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = "echo begun; read word </dev/tty"
    pager = f"until [ -e {flag} ]; do sleep 0.02; done; read key </dev/tty"
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", script) + " | sh -c " + shlex.quote(pager))
        _, command = await notes.pids()
        await until(lambda: terminal.foreground() == command)
        flag.touch()  # now the pager reaches for the terminal that the command has
        await terminal.run("fg")
        await notes.first("continued")


async def test_ctrl_z_and_ctrl_c_reach_a_command_whose_output_is_read(notes: Notes) -> None:
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", SLEEPS) + " | cat")
        await terminal.shows("begun")
        runner, command = await notes.pids()
        terminal.type(SUSPEND)
        await terminal.run("fg")
        await notes.first("continued")
        await until(lambda: (state_of(runner), state_of(command)) == ("S", "S"))
        terminal.type(INTERRUPT)
        assert (await notes.first("ended"))[0] == "130"


async def test_a_command_that_reaches_for_the_terminal_is_given_it(notes: Notes) -> None:
    script = "echo begun; read word </dev/tty; echo got $word"
    async with shell() as terminal:
        await terminal.run(line(notes, "sh", "-c", script) + " | cat")
        await notes.in_front(terminal)
        terminal.type("hello\n")
        await terminal.shows("got hello")
        assert notes.of("stopped") == [], "this stop must not be reported"


async def test_a_script_without_jobs_has_the_terminal_again(notes: Notes) -> None:
    script = f"{line(notes, 'true')}; read word; echo got $word"
    async with pty("sh", "-c", script) as terminal:
        await notes.first("ended")
        await until(lambda: terminal.foreground() == terminal.leader.pid)
        terminal.type("hello\n")
        await terminal.shows("got hello")
        assert await asyncio.wait_for(terminal.leader.wait(), TIMEOUT_SECONDS) == 0


async def test_a_script_stops_with_the_command_that_it_waits_for(notes: Notes) -> None:
    script = f"{line(notes, 'sh', '-c', SLEEPS)}; echo code=$?"
    async with shell() as terminal:
        await terminal.run("sh -c " + shlex.quote(script))
        await terminal.shows("begun")
        _, command = await notes.pids()
        # Before that the script stops by itself, and `fg` may come before we have heard of ^Z.
        await until(lambda: terminal.foreground() == command)
        terminal.type(SUSPEND)
        await terminal.run("fg")
        await notes.first("continued")
        terminal.type(INTERRUPT)
        await terminal.shows("code=130")


def two_commands(notes: Notes, other: Notes) -> str:
    """Return a script without job control that runs two commands at once."""
    words = [line(each, "sh", "-c", SLEEPS) for each in (notes, other)]
    return f"{words[0]} & {words[1]} & wait; echo over"


async def test_a_command_of_a_script_is_stopped_alone(notes: Notes, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Notes(tmp_path / "other")
    async with shell() as terminal:
        await terminal.run("sh -c " + shlex.quote(two_commands(notes, other)))
        runner, command = await notes.pids()
        second, _ = await other.pids()
        os.kill(command, signal.SIGSTOP)
        await notes.first("stopped")
        await until(lambda: state_of(command) == "T")
        os.kill(command, signal.SIGCONT)
        _, gap = await notes.first("continued")
        assert float(gap) == 0.0
        assert "T" not in [state_of(each) for each in (runner, second)]
        assert other.of("stopped") == []


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTOU])
async def test_without_a_terminal_only_the_command_stops(
    notes: Notes, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "other").mkdir()
    other = Notes(tmp_path / "other")
    # The calling shell is in the script's group, and the group has a parent in its session.
    caller = await asyncio.create_subprocess_exec(
        *("setsid", "sh", "-c", f"sh -c {shlex.quote(two_commands(notes, other))}; true")
    )
    try:
        runner, command = await notes.pids()
        second, _ = await other.pids()
        os.kill(command, number)
        await notes.first("stopped")
        await until(lambda: state_of(command) == "T")
        assert "T" not in [state_of(each) for each in (runner, second, caller.pid)]
        os.kill(command, signal.SIGCONT)
        _, gap = await notes.first("continued")
        assert float(gap) == 0.0
    finally:
        for each in (notes, other):
            for pid in await each.pids():
                os.kill(pid, signal.SIGKILL)
        await caller.wait()


async def test_the_terminal_is_ours_while_the_command_is_stopped_or_has_ended(notes: Notes) -> None:
    argv = (*RUNNER, str(notes.path), "sh", "-c", SLEEPS)
    async with pty(*argv, LINGER="yes") as terminal:
        runner, command = await notes.in_front(terminal)
        os.kill(command, signal.SIGSTOP)
        await notes.first("stopped")
        assert terminal.foreground() == runner
        os.kill(runner, signal.SIGCONT)
        await notes.first("continued")
        assert terminal.foreground() == command
        os.kill(command, signal.SIGTERM)
        await notes.first("ended")
        assert terminal.foreground() == runner


async def test_where_nobody_could_continue_us_ctrl_z_stops_nobody(notes: Notes) -> None:
    script = "echo begun; read word; echo got $word"
    async with pty(*RUNNER, str(notes.path), "sh", "-c", script) as terminal:
        _, command = await notes.in_front(terminal)
        terminal.type(SUSPEND)
        await notes.first("continued")
        await until(lambda: terminal.foreground() == command)
        terminal.type("hello\n")
        await terminal.shows("got hello")


async def test_a_killed_command_does_not_leave_the_terminal_in_its_modes(notes: Notes) -> None:
    async with pty("sh", "-c", line(notes, "sh", "-c", "stty -echo; kill -KILL $$")) as terminal:
        assert terminal.echoes()
        assert await notes.first("ended") == ["137", "True"]
        assert terminal.echoes()


async def test_a_shell_with_jobs_as_the_command(notes: Notes) -> None:
    inner = ("bash", "--norc", "--noprofile", "--noediting", "-i")
    async with shell() as terminal:
        await terminal.run("export PS1='inner> '; exec " + line(notes, *inner))
        await terminal.shows("inner> ")
        terminal.type("sh -c 'echo be''gun; exec sleep 600'\n")
        await terminal.shows("begun")
        runner, inner_shell = await notes.pids()
        await until(lambda: terminal.foreground() not in (runner, inner_shell))
        terminal.type(SUSPEND)
        await terminal.shows("Stopped")
        terminal.type("kill %1; exit 4\n")
        await terminal.shows("inner> ")
        terminal.type("exit 4\n")
        assert (await notes.first("ended"))[0] == "4"
        assert notes.of("stopped") == []


# Without a terminal


async def test_standard_input_and_output_are_inherited(notes: Notes) -> None:
    assert await ran(notes, "cat", stdin="what was typed") == (0, "what was typed")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_a_command_killed_by_a_signal(notes: Notes, number: signal.Signals) -> None:
    code, _ = await ran(notes, "sh", "-c", f"kill -{number.value} $$")
    assert code == 128 + number


async def test_the_exit_code_is_the_commands(notes: Notes) -> None:
    assert (await ran(notes, "sh", "-c", "exit 42"))[0] == 42


async def test_what_cannot_be_started(notes: Notes, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program\n")
    headless = tmp_path / "headless"
    headless.write_text("#!/no/such/interpreter\n")
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"\x01\x02")
    headless.chmod(0o755)
    nothing.chmod(0o755)
    for name, code, words in [
        ("no-such-command-here", 127, "command not found"),
        ("", 127, "command not found"),
        (str(tmp_path / "absent"), 127, "command not found"),
        (str(headless), 127, "interpreter not found"),
        (str(plain), 126, "permission denied"),
        (str(plain / "below"), 126, "not a directory"),
        (str(tmp_path), 126, "is a directory"),
        (str(nothing), 126, "neither a program nor a script with a #! line"),
    ]:
        notes.path.unlink(missing_ok=True)
        assert (await ran(notes, name))[0] == code, name
        assert notes.lines == [f"failed {code} {name or repr(name)}: {words}"]


def test_the_check_that_is_made_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{first}:{second}")
    with pytest.raises(CommandError, match="tool: permission denied") as denied:
        check("tool")
    assert denied.value.exit_code == 126
    (second / "tool").chmod(0o755)
    check("tool")
    check(str(second / "tool"))
    with pytest.raises(CommandError, match="absent: command not found") as absent:
        check("absent")
    assert absent.value.exit_code == 127
    with pytest.raises(CommandError, match="is a directory"):
        check(str(first))


async def test_arguments_pass_through_untouched(notes: Notes) -> None:
    odd = ["", "--", "-c", "a b", "new\nline", "*", "$HOME", os.fsdecode(b"\xff\xfe"), "--help"]
    show = "import os, sys; sys.stdout.write(repr([os.fsencode(a) for a in sys.argv[1:]]))"
    _, out = await ran(notes, sys.executable, "-c", show, *odd)
    assert out == repr([os.fsencode(argument) for argument in odd])


@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C.UTF-8"}])
async def test_the_environment_is_untouched(notes: Notes, given: dict[str, str]) -> None:
    # In the C locale Python sets a variable for itself.
    environment = {"PATH": os.environ["PATH"], "EMPTY": "", "ODD": os.fsdecode(b"\xff="), **given}
    _, out = await ran(notes, sys.executable, "-c", _SHOW_ENVIRONMENT, env=environment)
    assert out == repr(sorted(os.fsencode(f"{k}={v}") for k, v in environment.items()))


_SHOW_ENVIRONMENT = """
import pathlib, sys
given = pathlib.Path("/proc/self/environ").read_bytes().split(b"\\0")
sys.stdout.write(repr(sorted(filter(None, given))))
"""


@pytest.mark.parametrize("ignored", ["", "HUP", "INT QUIT", "TTOU TSTP USR1"])
async def test_what_is_ignored_is_what_was_ignored_when_we_started(
    notes: Notes, ignored: str
) -> None:
    traps = f"trap '' {ignored}; " if ignored else ""
    script = f"{traps}exec {line(notes, 'grep', '-E', '^Sig(Ign|Blk)', '/proc/self/status')}"
    async with started_plainly("sh", "-c", script) as process, asyncio.timeout(TIMEOUT_SECONDS):
        out, _ = await process.communicate()
    states = dict(entry.split(":\t") for entry in out.decode().splitlines())
    assert int(states["SigBlk"], 16) == 0
    # 32 and 33 are the C library's own, which its posix_spawn leaves as it pleases.
    bits = int(states["SigIgn"], 16) & ((1 << 31) - 1)
    named = {number.name for number in signal.Signals if bits >> (number - 1) & 1}
    assert named == {f"SIG{name}" for name in ignored.split()}


@asynccontextmanager
async def started_plainly(*argv: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, start_new_session=True)
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def test_signals_are_forwarded_and_the_command_decides(notes: Notes) -> None:
    names = ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "TERM"]
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in names[:-1])
    script = f"{traps}; trap 'exit 9' TERM; echo begun; while :; do sleep 0.02; done"
    async with started(notes, "sh", "-c", script) as process, asyncio.timeout(TIMEOUT_SECONDS):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        for name in names[:-1]:
            process.send_signal(signal.Signals[f"SIG{name}"])
            assert await process.stdout.readline() == f"{name}\n".encode()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 9


async def test_who_ignores_hangups_goes_on_ignoring_them(notes: Notes) -> None:
    script = f"trap '' HUP; exec {line(notes, 'sh', '-c', SLEEPS)}"
    async with started_plainly("sh", "-c", script) as process, asyncio.timeout(TIMEOUT_SECONDS):
        runner, command = await notes.pids()
        assert runner == process.pid
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 143
        assert state_of(command) == ""


async def test_what_a_command_leaves_behind_runs_on_below_us(notes: Notes, tmp_path: Path) -> None:
    left = tmp_path / "left"
    script = f"sleep 600 >/dev/null & echo $! >{shlex.quote(str(left))}; exit 5"
    how = {"env": {**os.environ, "LINGER": "yes"}}
    async with started(notes, "sh", "-c", script, **how) as process:
        assert await notes.first("ended") == ["5", "False"]
        orphan = int(left.read_text())
        assert parent_of(orphan) == process.pid
        os.kill(orphan, signal.SIGTERM)
        await until(lambda: state_of(orphan) == "", lambda: "it is not reaped")


async def test_what_ends_beside_the_command_is_not_taken_for_it(
    notes: Notes, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    script = f"(sleep 600 >/dev/null & echo $! >{shlex.quote(str(left))}); read word; exit 6"
    async with started(notes, "sh", "-c", script) as process:
        await until(lambda: left.exists() and left.read_text().endswith("\n"))
        orphan = int(left.read_text())
        await until(lambda: parent_of(orphan) == process.pid)
        os.kill(orphan, signal.SIGTERM)
        await until(lambda: state_of(orphan) == "", lambda: "it is not reaped")
        assert process.stdin is not None
        process.stdin.write(b"go on\n")
        assert await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS) == 6


async def test_a_command_stopped_and_continued_by_others_without_a_terminal(notes: Notes) -> None:
    async with started(notes, "sh", "-c", SLEEPS) as process:
        _, command = await notes.pids()
        os.kill(command, signal.SIGSTOP)
        await notes.first("stopped")
        await until(lambda: state_of(command) == "T")
        os.kill(command, signal.SIGCONT)
        await notes.first("continued")
        os.kill(command, signal.SIGSTOP)
        await notes.first("stopped", 2)
        process.send_signal(signal.SIGCONT)
        await notes.first("continued", 2)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS) == 143


async def test_nothing_that_was_installed_stays() -> None:
    async def never(_gap: float = 0.0) -> None:
        raise AssertionError

    def installed() -> dict[int, object]:
        return {number: signal.getsignal(number) for number in signal.valid_signals()}

    before, files = installed(), len(os.listdir("/proc/self/fd"))
    for argv, code in [(["true"], 0), (["sh", "-c", "exit 3"], 3)]:
        with running(argv, clock=SystemClock(), on_stopped=never, on_continued=never) as child:
            assert installed() != before
            assert await asyncio.wait_for(child.wait(), TIMEOUT_SECONDS) == code
            assert not child.forward(signal.SIGTERM)
        assert installed() == before
    with (
        pytest.raises(CommandError),
        running(["/nowhere/x"], clock=SystemClock(), on_stopped=never, on_continued=never),
    ):
        raise AssertionError
    assert installed() == before
    assert len(os.listdir("/proc/self/fd")) == files
