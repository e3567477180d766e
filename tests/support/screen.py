"""A terminal emulator for the control sequences that this program uses."""

from __future__ import annotations

import asyncio
import os
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.cli import COMMAND, surroundings
from tests.support.programs import killed_at_last
from tests.support.pty import Device, resize
from tests.support.timeouts import TIMEOUT_SECONDS

_CONTROL = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\x1b([78D])|[\r\n]|[^\x00-\x1f\x7f]")
_ALTERNATE, _CURSOR, _WRAPPING = "1049", "25", "7"


class Screen:
    """The contents of a terminal. Fails for unknown control sequences."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.is_alternate = False
        self.has_cursor = True
        self.wraps = True
        self.cells = self._blank()
        self.everything = ""
        self.history: list[str] = []
        self._main = self.cells
        self._rest = ""
        self._row = self._column = 0
        self._saved = (0, 0)
        self._top, self._bottom = 0, rows - 1

    def _blank(self) -> list[list[str]]:
        return [[" "] * self.columns for _ in range(self.rows)]

    @property
    def lines(self) -> list[str]:
        """The lines, without trailing blanks."""
        return ["".join(row).rstrip() for row in self.cells]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def feed(self, text: str) -> None:
        """Process a program's output."""
        self.everything += text
        self._rest += text
        while match := _CONTROL.match(self._rest):
            self._rest = self._rest[match.end() :]
            private, parameters, final, short = match.groups()
            if short:
                self._carry_out_short(short)
            elif final is None:
                self._put(match[0])
            elif private:
                self._switch(parameters, on=final == "h")
            else:
                self._carry_out(parameters, final)
        assert len(self._rest) < 16, f"unknown control sequence {self._rest[:16]!r}"

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._next_row()
        else:
            if self._column == self.columns and self.wraps:
                self._column = 0
                self._next_row()
            self.cells[self._row][min(self._column, self.columns - 1)] = char
            self._column += 1

    def _next_row(self) -> None:
        if self._row == self._bottom:
            gone = self.cells.pop(self._top)
            if self._top == 0:
                self.history.append("".join(gone).rstrip())
            self.cells.insert(self._bottom, [" "] * self.columns)
        elif self._row + 1 < self.rows:
            self._row += 1

    def resize(self, columns: int, rows: int, *, from_history: bool = False) -> None:
        """Resize as terminals do, without wrapping lines again.

        A higher window gets blank rows below, or lines of the history above.
        """
        while len(self.cells) > rows and self._row + 1 < len(self.cells):
            del self.cells[-1]
        while len(self.cells) > rows:
            self.history.append("".join(self.cells.pop(0)).rstrip())
            self._row -= 1
        while from_history and self.history and len(self.cells) < rows:
            self.cells.insert(0, list(self.history.pop()))
            self._row += 1
        self.cells += [[] for _ in range(rows - len(self.cells))]
        self.cells = [(row + [" "] * columns)[:columns] for row in self.cells]
        self.columns, self.rows = columns, rows
        self._column = min(self._column, columns - 1)
        self._top, self._bottom = 0, rows - 1

    def _carry_out_short(self, final: str) -> None:
        if final == "7":
            self._saved = (self._row, self._column)
        elif final == "8":
            self._row, self._column = self._saved
        else:
            self._next_row()

    def _switch(self, mode: str, *, on: bool) -> None:
        if mode == _ALTERNATE:
            self.is_alternate = on
            if on:
                self._main, self.cells = self.cells, self._blank()
            else:
                self.cells = self._main
        elif mode == _CURSOR:
            self.has_cursor = on
        else:
            assert mode == _WRAPPING, mode
            self.wraps = on

    def _carry_out(self, parameters: str, final: str) -> None:
        if final == "H":
            line, column = _numbers(parameters, 1, 1)
            self._row, self._column = line - 1, column - 1
        elif final == "r":
            top, bottom = _numbers(parameters, 1, self.rows)
            self._top, self._bottom = top - 1, bottom - 1
            self._row = self._column = 0
        elif final == "A":
            assert not parameters
            self._row -= self._row not in (0, self._top)
        elif final in "KJ":
            assert not parameters, "clearing more than the rest makes a screen flicker"
            here = self.cells[self._row]
            here[self._column :] = [" "] * (self.columns - self._column)
            if final == "J":
                for row in self.cells[self._row + 1 :]:
                    row[:] = [" "] * self.columns
        else:
            assert final == "m", final


class Terminal(Device):
    """A program in its own terminal."""

    def __init__(self, screen: Screen, process: Process, master: int) -> None:
        super().__init__(master)
        self.screen = screen
        self.process = process

    def write(self, text: str) -> None:
        self.screen.feed(text)

    def resize(self, columns: int, rows: int) -> None:
        """Resize the terminal, which signals the foreground processes."""
        self.screen.__init__(columns, rows)  # type: ignore[misc] # starts empty, as for a redraw
        super().resize(columns, rows)

    async def until(self, condition: Callable[[Screen], object]) -> None:
        """Wait until the screen meets a condition."""
        await self.until_seen(
            lambda: condition(self.screen), lambda: f"the screen shows\n{self.screen.text}"
        )

    async def end(self) -> int:
        """Wait for the program's end and the rest of its output."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def terminal(
    socket: Path,
    *words: str,
    columns: int = 80,
    rows: int = 24,
    prefix: tuple[str, ...] = (),
) -> AsyncIterator[Terminal]:
    """Run a command of ours in a terminal, with a keyboard that sends signals."""
    master, slave = os.openpty()
    resize(master, columns, rows)
    environment = surroundings(socket, TERM="xterm-256color", LANG="C.UTF-8")
    process = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", "--wait", *prefix, *COMMAND, *words),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    # The other end stays open here, or the last output would be lost.
    shown = Terminal(Screen(columns, rows), process, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, shown.read)
    try:
        async with killed_at_last(process, process.wait):
            yield shown
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


def _numbers(parameters: str, *otherwise: int) -> list[int]:
    given = [int(each) for each in parameters.split(";") if each]
    return given + list(otherwise[len(given) :])
