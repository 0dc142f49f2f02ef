"""The nodes stand on the library, and not on each other in a circle. The library's own layers are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = """
[importlinter]
root_package = comfyui_edtalk

[importlinter:contract:layers]
name = The nodes stand on the library
type = layers
containers = comfyui_edtalk
layers =
    nodes
    edtalk_core

[importlinter:contract:circles]
name = No circles of nodes
type = acyclic_siblings
ancestors = comfyui_edtalk.nodes
"""


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on the package `comfyui_edtalk` in a folder: the repository as ComfyUI imports it."""
    (folder / "contracts.ini").write_text(CONTRACTS)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    arguments = ["--config", "contracts.ini", "--no-cache"]
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    pytest.importorskip("importlinter")
    package = tmp_path / "comfyui_edtalk"
    package.mkdir()
    for name in ("__init__.py", "nodes", "edtalk_core"):
        (package / name).symlink_to(ROOT / name)
    return package


def test_nodes_keep_their_layers(package: Path):
    ended = check(package.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 kept, 0 broken" in ended.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [("edtalk_core/errors.py", "from ..nodes import sockets"), ("nodes/sockets.py", "from . import render")],
    ids=["up", "circle"],
)
def test_a_breach_is_seen(module: str, line: str, package: Path):
    folder = package / Path(module).parent
    folder.unlink()
    folder.mkdir()
    for source in (ROOT / Path(module).parent).iterdir():
        (folder / source.name).symlink_to(source)
    (package / module).unlink()
    (package / module).write_text(
        f"{line}\n{(ROOT / module).read_text(encoding='utf-8').split('import annotations')[1]}"
    )
    ended = check(package.parent)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "1 broken" in ended.stdout
