"""Random views of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edtalk_core.data.clips import Clip
from edtalk_core.training.augmentation import Augmentation


@pytest.mark.parametrize("mirror", [False, True], ids=["plain", "mirrored"])
@pytest.mark.parametrize("size", [32, 128])
def test_view_moves_picture_and_landmarks_alike(mirror: bool, size: int, face_store: Path):
    clip = Clip(face_store / "bert.safetensors")
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    view = Augmentation(mirror, 1.1, 0.95, 0.1, (0.05, -0.03), ones, zeros)
    image, landmarks = view.apply(clip, 5, size)
    assert image.shape == (3, size, size)
    # The eyes are the brightest thing in the face: find each by its landmarks.
    pixels = ((landmarks + 1) * size - 1) / 2
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = pixels[eye].mean(0)
        assert image[:, round(y), round(x)].min() > (0.6 if size == 32 else 0.9)
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    assert left[0] < right[0]
