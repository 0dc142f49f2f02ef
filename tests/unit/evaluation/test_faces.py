"""Faces are measured: landmarks, the mouth, the head's rotation, regions."""

from __future__ import annotations

import numpy as np
import pytest

from edtalk_core.errors import FaceError
from edtalk_core.evaluation.faces import (
    _HEAD,
    _RIGID,
    FaceReader,
    angles,
    head_rotation,
    landmark_distance,
    regions,
    relative_mouth_opening,
    rotation_between,
)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ nod @ turn


@pytest.mark.parametrize("turned", [(0, 0, 0), (20, 0, 0), (0, -15, 0), (0, 0, 30), (-25, 10, -5)], ids=str)
def test_rotation_of_a_projected_head_is_found(turned: tuple[float, float, float]):
    landmarks = np.zeros((1, 68, 2))
    landmarks[0, _RIGID] = (_HEAD @ rotation(*turned).T)[:, :2] * 37 + [100, 120]
    np.testing.assert_allclose(angles(head_rotation(landmarks))[0], turned, atol=1e-6)


def test_angle_between_rotations():
    a, b = rotation(10, 5, -20)[None], (rotation(10, 5, -20) @ rotation(30, 0, 0))[None]
    assert rotation_between(a, b) == pytest.approx([30])
    assert rotation_between(a, a) == pytest.approx([0], abs=1e-5)


@pytest.mark.parametrize("tilt", [-20, 15])
def test_tilted_picture_tilts_the_head(tilt: float, face: np.ndarray):
    import cv2

    reader = FaceReader()
    turned = cv2.warpAffine(face, cv2.getRotationMatrix2D((127.5, 127.5), -tilt, 1), (256, 256))
    before, after = (angles(head_rotation(reader.find(picture).landmarks[None]))[0] for picture in (face, turned))
    assert after[2] - before[2] == pytest.approx(tilt, abs=2)
    assert after[0] == pytest.approx(before[0], abs=4)


def test_landmarks_of_a_small_picture_are_those_of_the_large_one(face: np.ndarray):
    import cv2

    reader = FaceReader()
    small = cv2.resize(face, (96, 96), interpolation=cv2.INTER_AREA)
    large = reader.landmarks(face, reader.find(face))
    assert landmark_distance(reader.landmarks(small, reader.find(small)), large) < 0.03


def test_picture_without_a_face(face: np.ndarray):
    with pytest.raises(FaceError, match="no face"):
        FaceReader().find(np.full_like(face, 128))


def test_relative_mouth_opening_is_a_ratio(face: np.ndarray):
    landmarks = FaceReader().find(face).landmarks
    assert relative_mouth_opening(3 * landmarks + 7) == pytest.approx(relative_mouth_opening(landmarks))
    wider = landmarks.copy()
    wider[66, 1] += 10
    assert relative_mouth_opening(wider) > relative_mouth_opening(landmarks) + 0.05


def test_regions_of_a_face(face: np.ndarray):
    reader = FaceReader()
    parts = regions(reader.landmarks(face, reader.find(face)), 256)
    assert not (parts["rest"] & parts["mouth"]).any()
    assert not (parts["background"] & parts["face"]).any()
    assert not (parts["cheeks"] & (parts["mouth"] | parts["eyes"])).any()
    height = {name: np.nonzero(mask)[0].mean() for name, mask in parts.items()}
    assert height["brows"] < height["eyes"] < height["cheeks"] < height["mouth"]
    shares = {name: mask.mean() for name, mask in parts.items()}
    assert 0.02 < shares["mouth"] < shares["face"] < 0.7
