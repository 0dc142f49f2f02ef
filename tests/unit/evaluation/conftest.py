"""A real face, clips of it swaying, and models whose figures are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.data.clips import Clip, ClipInfo, ClipStore, encode_frame, write_clip
from edtalk_core.evaluation.faces import FaceReader
from edtalk_core.face.crop import crop_portrait
from edtalk_core.media.mel import mel_spectrogram
from edtalk_core.media.picture import read_picture
from edtalk_core.model import EDTalk
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.training.initialisation import identity_copy

SIZE = 64


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A real face, cropped: the astronaut who ships with the project."""
    return crop_portrait(read_picture(builtin_file("examples/portrait.jpg"))).picture


@pytest.fixture(scope="module")
def store(face: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of the face swaying: one to train on, and of two people held out, who say different things."""
    import cv2

    folder = tmp_path_factory.mktemp("real")
    reader = FaceReader()
    mesh = reader.find(face)
    time = np.arange(30) / 25
    for number, (name, split) in enumerate((("a", "train"), ("b", "holdout"), ("c", "holdout"))):
        frames, landmarks = [], []
        for sway in 12 * np.sin(2 * np.pi * (1 + 0.3 * number) * time):
            matrix = cv2.getRotationMatrix2D((127.5, 180), sway, 1 - 0.004 * abs(sway))
            frames.append(encode_frame(cv2.warpAffine(face, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT)))
            moved = mesh.landmarks @ matrix[:, :2].T + matrix[:, 2]
            # Its mouth opens and closes in the stored truth, so that there is something to follow.
            moved[60:68, 1] += np.where(np.arange(60, 68) > 64, 1, 0) * 5 * (1 + math.sin(sway))
            landmarks.append(moved)
        rng = np.random.default_rng(number)
        sound = (rng.standard_normal(30 * 640) * 0.1).astype(np.float32)
        info = ClipInfo(name, person=f"person {name}", split=split, emotion="happy" if number else "", speech=True)
        write_clip(folder / f"{name}.safetensors", info, frames, np.stack(landmarks), mel_spectrogram(sound))
    return folder


@pytest.fixture(scope="module")
def copying() -> EDTalk:
    """A model that renders every portrait as it is, whatever the motion."""
    torch.manual_seed(0)
    channels = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}
    model = EDTalk(ModelSizes(resolution=SIZE, style=48, channels=channels, expression_hidden=8))
    identity_copy(model)
    for eem in model.dec.fineadainresblock:
        eem.norm2.mlp_gamma.weight.data.zero_()
        eem.norm2.mlp_beta.weight.data.zero_()
    return model.eval()


@pytest.fixture(scope="module")
def moving(copying: EDTalk) -> EDTalk:
    """A model that shifts all pixels across, by an amount that depends on all the weights."""
    model = EDTalk(copying.sizes)
    model.load_state_dict(copying.state_dict())
    torch.manual_seed(1)
    with torch.no_grad():
        model.dec.to_flows[-1].conv.weight[:, 0] = 0.1
        for head in (model.lip_fc, model.pose_fc, model.exp_fc):
            head[-1].weight.normal_(0, 3)
    return model.eval()


@pytest.fixture(scope="module")
def held_out(store: Path) -> list[Clip]:
    return ClipStore(store, "holdout").clips
