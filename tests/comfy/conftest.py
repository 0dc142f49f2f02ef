"""Tests of the nodes without a server. They run in ComfyUI's Python only.

They import the pack, and the library in it, as `comfyui_edtalk`: `comfyui_edtalk.edtalk_core.motion.motion`.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import comfy_tier
import pytest

ROOT = Path(__file__).resolve().parents[2]

if comfy_tier.inside():
    # The repository's root on the path would hide ComfyUI's nodes.py behind the folder nodes/.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]

    import torch
    from comfy.cli_args import args

    # ComfyUI reads these when its modules are imported, so they are set before any test file is.
    args.cpu = True
    args.base_directory = tempfile.mkdtemp(prefix="comfyui")
    atexit.register(shutil.rmtree, args.base_directory, ignore_errors=True)
    for _name in ("input", "output", "temp", "models"):
        Path(args.base_directory, _name).mkdir(parents=True)

    # As main.py does: later, nodes.py puts comfy/ first on the path, and `utils` is comfy/utils.py.
    importlib.import_module("utils.extra_config")

    _spec = importlib.util.spec_from_file_location(
        "comfyui_edtalk", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    _pack = importlib.util.module_from_spec(_spec)
    sys.modules["comfyui_edtalk"] = _pack
    _spec.loader.exec_module(_pack)


@pytest.fixture(scope="session", autouse=True)
def comfyui_base() -> Path:
    """ComfyUI's folder of models, input, output and temp, a fresh one; the pack is registered as ComfyUI does it."""
    extension = asyncio.run(sys.modules["comfyui_edtalk"].comfy_entrypoint())
    asyncio.run(extension.get_node_list())
    return Path(args.base_directory)


@pytest.fixture(autouse=True)
def _inference_mode() -> Iterator[None]:
    """As when ComfyUI runs a node."""
    with torch.inference_mode():
        yield
