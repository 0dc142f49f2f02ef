"""An empty models folder for each test, and files with the published names and shapes."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from edtalk_core.checkpoints import convert


@pytest.fixture(autouse=True)
def _empty_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDTALK_HOME", str(tmp_path / "models"))
    monkeypatch.delenv("EDTALK_HUB_REPO", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def reference(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_state", shared / "parity" / "reference_state.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, dict], reference: ModuleType
) -> dict[str, Path]:
    """Substitutes for EDTalk.pt and Audio2Lip.pt: tensors of the same names and shapes, and other content."""
    paths = {}
    for name in ("EDTalk.pt", "Audio2Lip.pt"):
        entry = manifest[name]
        state = {key: torch.from_numpy(value) for key, value in reference.reference_state(entry["tensors"]).items()}
        content = {
            entry["top_level_key"]: state,
            "dis": {"convs.0.weight": torch.ones(3)},
            "g_optim": {"state": {0: {"step": 3, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.002}]},
            "args": argparse.Namespace(size=256, exp_name="published", lr=0.002, resume=None),
        }
        paths[name] = tmp_path_factory.mktemp("published") / name
        torch.save(content, paths[name])
    return paths


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, published: dict[str, Path]) -> Path:
    return convert(list(published.values()), tmp_path_factory.mktemp("bundle") / "edtalk.safetensors")
