"""No module and no function is too long to be read at once."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES = 450
"""Of everything but tables: values of constants, which are written in capitals."""
FUNCTION_LINES = 80
"""Of code: docstrings, comments and empty lines do not count."""
TABLES = ("define_schema", "add_parser")
"""Functions that are one table each, of a node's inputs or of a command's arguments."""

MODULES = sorted(path for folder in ("edtalk_core", "nodes", "tools") for path in (ROOT / folder).rglob("*.py"))


def code_lines(source: str) -> set[int]:
    """Numbers of the lines that hold code: all but docstrings and other strings that stand alone, comments, blanks."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def module_length(source: str) -> int:
    """Lines of a module without its tables."""
    tables = 0
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id.isupper() for target in targets):
            tables += (node.end_lineno or node.lineno) - node.lineno
    return source.count("\n") - tables


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of code of every function that is not a table, with the functions in it."""
    code = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in TABLES:
            yield node.name, len(code & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))


def test_what_counts_as_code():
    source = '''
def short():
    """Docstring
    of two lines."""
    # A comment.
    value = """one
    string"""

    return value
'''
    assert dict(function_lengths(source)) == {"short": 4}
    assert module_length(source + "TABLE = (\n    1,\n    2,\n)\n") == module_length(source) + 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short(path: Path):
    source = path.read_text(encoding="utf-8")
    assert module_length(source) < MODULE_LINES
    assert {name: length for name, length in function_lengths(source) if length >= FUNCTION_LINES} == {}
