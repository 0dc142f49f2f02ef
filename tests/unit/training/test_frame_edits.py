"""Frames that were never filmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edtalk_core.data.clips import Clip
from edtalk_core.training.frame_edits import match_colours, move_landmarks, still_part


@pytest.mark.parametrize("moving", ["lip", "expression"])
@pytest.mark.parametrize("opened", [False, True])
def test_still_part_leaves_room_for_what_moves(opened: bool, moving: str, face_store: Path):
    landmarks = Clip(face_store / "anna.safetensors").landmarks
    opening = landmarks[:, 66, 1] - landmarks[:, 62, 1]
    points = (2 * landmarks[opening.argmax() if opened else opening.argmin()] + 1) / 256 - 1
    still = still_part(points, 64, moving)

    def at(landmark: int) -> float:
        column, row = ((points[landmark] + 1) * 32 - 0.5).round().astype(int)
        return float(still[row, column])

    assert still.shape == (64, 64)
    assert max(at(landmark) for landmark in (8, 33, *range(48, 68))) < 0.6
    assert max(at(landmark) for landmark in (51, 57, 62, 66)) < 0.1
    if moving == "lip":
        assert min(at(landmark) for landmark in range(17, 27)) > 0.99
    else:
        assert max(at(landmark) for landmark in range(17, 48)) < 0.6
    assert min(still[0].min(), still[:, 0].min(), still[:, -1].min()) > 0.99


def test_moved_landmarks_take_their_pixels_along():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (68, 2))
    points[0] = 0.0, -0.7
    image = np.zeros((3, 128, 128), np.float32)
    column, row = ((points[0] + 1) * 64 - 0.5).round().astype(int)
    image[:, row - 2 : row + 3, column - 2 : column + 3] = 1
    moved = points.copy()
    moved[0] += 0.0, 0.1
    found = move_landmarks(image, points, moved)
    rows, columns = np.nonzero(found[0] > 0.5)
    assert (rows.mean(), columns.mean()) == pytest.approx((row + 6.4, column), abs=1)
    assert np.array_equal(move_landmarks(image, points, points), image)
    assert np.array_equal(found[:, -20:], image[:, -20:])


def test_light_of_another_clip_is_no_motion():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, 16, 16)).astype(np.float32)
    dimmed = image * np.array([0.5, 0.7, 0.6], np.float32)[:, None, None] + 0.1
    assert match_colours(dimmed, image) == pytest.approx(image, abs=1e-4)
    assert np.isfinite(match_colours(np.zeros_like(image), image)).all()
