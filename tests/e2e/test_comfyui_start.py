"""What ComfyUI's start costs with the pack, and what the pack does meanwhile: nothing but registering its nodes."""

from __future__ import annotations

import compileall
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from comfy_install import ComfyInstall

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 0.3
"""What the pack may add to ComfyUI's start."""
FIRST_WRITES = re.compile(r"/base/(models|models/edtalk|input|input/edtalk_\w+\.\w+)'")
"""What the first start writes: a folder for models, and examples beside the user's own files."""
ATTEMPTS = 3
"""Other programs can only make it slower: the quickest of some starts counts."""


def listing(folder: Path) -> set[str]:
    """Files below a folder, without what Python and the tools of the tests keep for themselves."""
    skipped = {"__pycache__", ".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", "out"}
    found: set[str] = set()
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in skipped]
        found |= {str(Path(where, file)) for file in files}
    return found


def load(install: ComfyInstall, pack: Path, base: Path) -> dict:
    """What tools/measure_start.py sees while ComfyUI loads a pack."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [install.python, ROOT / "tools/measure_start.py", install.checkout, pack, base]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def start(comfyui: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What was seen while ComfyUI loaded the pack, and "files": what is there that was not."""
    for part in ("nodes", "edtalk_core", "weights"):
        compileall.compile_dir(ROOT / part, quiet=2)
    before = listing(ROOT)
    seen: dict = {}
    for _ in range(ATTEMPTS):
        again = load(comfyui, ROOT, tmp_path_factory.mktemp("start") / "base")
        seen = min(seen or again, again, key=lambda one: one["seconds"])
        if seen["seconds"] <= START_SECONDS:
            break
    return seen | {"files": sorted(listing(ROOT) - before)}


def test_the_pack_loads(start):
    assert start["loaded"]
    assert "EDTalkRenderVideo" in start["nodes"]


def test_it_adds_little_to_the_start(start):
    assert start["seconds"] <= START_SECONDS


def test_it_imports_nothing_heavy(start):
    assert not {"librosa", "cv2", "face_alignment", "huggingface_hub", "accelerate", "skimage"} & set(start["modules"])


@pytest.mark.parametrize("what", ["network", "processes", "files"])
def test_it_does_nothing_else(start, what):
    assert start[what] == []


def test_it_writes_its_model_folder_and_its_examples_and_nothing_else(start):
    assert any("/models/edtalk'" in one for one in start["writes"])
    assert [one for one in start["writes"] if not FIRST_WRITES.search(one)] == []


def test_the_watch_sees_what_a_pack_should_not_do(comfyui: ComfyInstall, tmp_path: Path):
    pack = tmp_path / "rude"
    pack.mkdir()
    (pack / "__init__.py").write_text(
        "import socket, subprocess, sys\n"
        "socket.socket().connect_ex(('127.0.0.1', 9))\n"
        "subprocess.run([sys.executable, '-c', ''])\n"
        f"open({str(tmp_path / 'note.txt')!r}, 'w').close()\n"
        "NODE_CLASS_MAPPINGS = {}\n"
    )
    seen = load(comfyui, pack, tmp_path / "base")
    assert any("connect" in one for one in seen["network"])
    assert any("Popen" in one for one in seen["processes"])
    assert any("note.txt" in one for one in seen["writes"])


def test_the_server_starts_without_complaint(server):
    log = server.start_log
    assert "IMPORT FAILED" not in log
    assert "Traceback" not in log
    assert re.search(rf"\d\.\d seconds: {re.escape(str(server.base / 'custom_nodes'))}", log), log
