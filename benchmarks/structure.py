"""Print the package's size, and how many functions its four main paths enter (`make structure`).

Code lines exclude blank lines, comments and docstrings. Repeated runs are places with six or more
identical code lines. `benchmarks.journeys` counts the entered functions in running processes.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks import journeys

PACKAGE = Path("keepalived")
RUN = 6
"""Minimum number of code lines in a repeated run."""

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> dict[int, str]:
    """Return the code lines of a module by number, without indentation."""
    lines = text.splitlines()
    docstrings = _docstring_lines(ast.parse(text))
    numbers = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    return {number: lines[number - 1].strip() for number in sorted(numbers - docstrings)}


def _docstring_lines(tree: ast.AST) -> set[int]:
    """Return the lines of all bare strings: docstrings of modules, classes, functions, fields."""
    return {
        number
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def is_one_statement(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function's body, apart from its docstring, is one simple statement."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return len(body) <= 1 and not any(hasattr(each, "body") for each in body)


def repeated(files: Iterable[Path]) -> int:
    """Count the pairs of files, or of places in one, that share a run of code lines."""
    places: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    for path in files:
        texts = [
            line
            for line in code_lines(path.read_text()).values()
            if not line.startswith(("import ", "from ")) and any(map(str.isalnum, line))
        ]
        for first in range(len(texts) - RUN + 1):
            places[tuple(texts[first : first + RUN])].append((path, first))
    pairs = {
        (one[0], other[0], one[0] == other[0] and other[1] - one[1])
        for found in places.values()
        if len(found) < 9
        for one, other in pairwise(sorted(found))
    }
    return len(pairs)


def sizes(package: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and value of each figure derived from the source files."""
    files = sorted(package.rglob("*.py"))
    trees = [ast.parse(path.read_text()) for path in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    yield "code lines", sum(len(code_lines(path.read_text())) for path in files)
    yield "files", len(files)
    yield "classes", len(classes)
    names = Counter(each.name for each in classes if not each.name.startswith("_"))
    yield "class names with two meanings", sum(count > 1 for count in names.values())
    yield "functions", len(functions)
    yield "functions of one statement", sum(map(is_one_statement, functions))
    yield "repeated runs", repeated(files)


def main() -> None:
    """Print all figures, one per line."""
    for name, figure in sizes(PACKAGE):
        print(f"{figure:>8,}  {name}", flush=True)
    for name, figure in journeys.counted():
        print(f"{figure:>8,}  functions entered: {name}", flush=True)


if __name__ == "__main__":
    main()
