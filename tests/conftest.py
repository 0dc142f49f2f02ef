"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with parity data, real faces and voices; tests that need it are skipped, loudly, without it."""
    folder = Path(os.environ.get("EDTALK_SHARED", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"needs the shared test data, looked for in {folder} (set EDTALK_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a real, untrained model of 32 px with its audio-to-lip network and the eight emotions."""
    import torch

    from edtalk_core.checkpoints.bundle import write_bundle
    from edtalk_core.model import EDTalk
    from edtalk_core.motion.presets import EMOTIONS
    from edtalk_core.networks.audio_to_lip import AudioToLip
    from edtalk_core.networks.sizes import ModelSizes

    torch.manual_seed(0)
    model = EDTalk(ModelSizes(resolution=32, style=40, channels={4: 8, 8: 8, 16: 8, 32: 8}, expression_hidden=8)).eval()
    model.audio_to_lip = AudioToLip(widths=(4,) * 13).eval()
    model.presets = {emotion: tuple(torch.randn(10).tolist()) for emotion in EMOTIONS}
    return write_bundle(tmp_path_factory.mktemp("tiny") / "tiny.safetensors", model)
