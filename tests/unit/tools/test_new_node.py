"""A node that was just started passes the checks of every node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from comfy_install import ComfyPlace, NotInstalled, comfy_places, comfy_pytest
from comfy_tier import run_files

ROOT = Path(__file__).resolve().parents[3]
COPIED = (
    "__init__.py",
    "requirements.txt",
    "pyproject.toml",
    "edtalk_core",
    "locales",
    "nodes",
    "tests",
    "tools",
    "weights",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which a node was started."""
    root = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        source = ROOT / name
        if source.is_file():
            shutil.copy(source, root / name)
        else:
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copytree(ROOT / "edtalk_core/data", root / "edtalk_core/data", dirs_exist_ok=True)
    ended = start(root, "TrimMotion", "Trim Motion", "裁剪动作")
    assert ended.returncode == 0, ended.stderr
    assert "EDTalkTrimMotion in nodes/trim_motion.py" in ended.stdout
    return root


def start(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, root / "tools/new_node.py", *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)


def test_its_texts_and_help_pages_agree(tree: Path):
    command = [*(sys.executable, "-m", "pytest"), "-q", "-p", "no:cacheprovider", "tests/unit/test_node_texts.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ended = subprocess.run(
        [*command, "--rootdir", tree], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    # All but its picture, which needs a server.
    assert ended.stdout.count("FAILED") == 1, ended.stdout
    assert "FAILED tests/unit/test_node_texts.py::test_pictures_are_there_and_small" in ended.stdout
    assert "EDTalkTrimMotion" in (tree / "locales/zh/nodeDefs.json").read_text(encoding="utf-8")


def test_its_code_is_as_the_house_wants_it(tree: Path):
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("needs ruff beside this Python")
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        ended = subprocess.run([ruff, *command, tree], cwd=tree, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout


def test_it_is_registered(tree: Path):
    text = (tree / "nodes/__init__.py").read_text(encoding="utf-8")
    assert "from .trim_motion import TrimMotion\n" in text
    # After the last one.
    assert re.search(r"^( +)\w+,\n\1TrimMotion,\n(?!\1)", text, re.MULTILINE)


@pytest.mark.parametrize("place", comfy_places(), ids=lambda place: place.label)
def test_it_runs_in_comfyui(place: ComfyPlace, tree: Path):
    try:
        install = comfy_pytest(place)
    except NotInstalled as missing:
        pytest.skip(str(missing))
    results = run_files([tree / "tests/comfy/test_trim_motion.py"], install.checkout, install.python, tree)
    assert results["test_trim_motion"].outcomes == {"passed": 1}, results["test_trim_motion"].failures


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("trim", "Trim", "裁剪"), "TrimMotion"), (("Motion", "Motion", "动作"), "nodes/motion.py")],
    ids=["class", "module"],
)
def test_wrong_names(tree: Path, arguments: tuple[str, ...], word: str):
    before = sorted(tree.rglob("*"))
    ended = start(tree, *arguments)
    assert ended.returncode == 2
    assert word in ended.stderr
    assert sorted(tree.rglob("*")) == before
