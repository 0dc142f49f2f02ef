"""What the code that users install never does, read off its syntax: nothing of it has to run for that."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    [
        ROOT / "__init__.py",
        *(path for part in ("nodes", "edtalk_core", "weights") for path in (ROOT / part).rglob("*.py")),
    ]
)

DEVICES = ("cuda", "mps", "xpu", "hpu", "npu", "hip", "rocm", "directml", "privateuseone")
DEVICE = re.compile(rf"({'|'.join(DEVICES)})(:\d+)?")
UNSAFE_MODULES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
PROCESS_MODULES = ("subprocess", "pty", "pip")
PROCESSES = re.compile(r"os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*|fork\w*|startfile)")
CODE = ("eval", "exec", "compile", "__import__")


def violations(source: str) -> Iterator[str]:
    """What is wrong with a module, with line numbers."""
    tree = ast.parse(source)
    told = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in UNSAFE_MODULES:
                    yield f"{where}: pickle: imports {name}"
                if name.split(".")[0] in PROCESS_MODULES:
                    yield f"{where}: process: imports {name}"
        elif isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if node.attr in DEVICES:
                yield f"{where}: device: {text}"
            if text == "sys.path":
                yield f"{where}: path: {text}"
            if PROCESSES.fullmatch(text):
                yield f"{where}: process: {text}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            if DEVICE.fullmatch(node.value):
                yield f"{where}: device: {node.value!r}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in CODE:
                yield f"{where}: code: {called}()"
            if called == "torch.load" and given.get("weights_only") != "True":
                yield f"{where}: pickle: torch.load without weights_only=True"
            if given.get("allow_pickle", "False") != "False":
                yield f"{where}: pickle: {called} with allow_pickle"
            if called == "logging.basicConfig":
                yield f"{where}: logging: sets up everybody's logging"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_installed_code(path: Path):
    # The choice of the precision is the only one that depends on the kind of device.
    knows_devices = path == ROOT / "edtalk_core/precision.py"
    found = violations(path.read_text(encoding="utf-8"))
    assert [violation for violation in found if not (knows_devices and ": device: " in violation)] == []


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("device", "model.cuda()"),
        ("device", "model.to('cuda:0')"),
        ("device", "torch.cuda.is_available()"),
        ("device", "kind = 'mps'"),
        ("pickle", "import pickle"),
        ("pickle", "from pickle import loads"),
        ("pickle", "torch.load(path)"),
        ("pickle", "torch.load(path, weights_only=False)"),
        ("pickle", "np.load(path, allow_pickle=True)"),
        ("path", "sys.path.insert(0, folder)"),
        ("path", "sys.path += [folder]"),
        ("code", "eval(text)"),
        ("code", "exec(text)"),
        ("process", "import subprocess"),
        ("process", "from subprocess import run"),
        ("process", "os.system('ls')"),
        ("process", "os.execv(path, args)"),
        ("logging", "logging.basicConfig(level=10)"),
    ],
)
def test_a_violation_is_seen(kind: str, source: str):
    found = list(violations(source))
    assert len(found) == 1
    assert f": {kind}: " in found[0]


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "re.compile(text)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "'''cuda'''",
        "x = 'needs cuda or mps'",
        "os.path.join(folder, name)",
        "torch.device('cpu')",
    ],
)
def test_what_is_allowed_is_let_pass(source: str):
    assert list(violations(source)) == []


def test_every_part_is_looked_at():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == {"__init__.py", "nodes", "edtalk_core", "weights"}
